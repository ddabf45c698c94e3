"""One view of the VLM: its topics, its newest picture, and whether the camera has frozen."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import rgb_pixels, seconds
from vla_inference_ros.core.troubles import DAMAGED, UNCHANGED
from vla_inference_ros.model.interface import FrameError, View
from vla_inference_ros.model.unchanged import UnchangedPicture
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.stream import Stream

_PATIENCE = 5.0  # from the start on, before a view without images is warned of [s]


@dataclass(frozen=True, slots=True)
class _Picture:
    """A view's newest picture; ``read`` gives the model's form of it, when it is needed."""

    stamp: float
    read: Callable[[], Any]


class ViewInput:
    """For the worker's thread alone."""

    def __init__(
        self,
        node: Node,
        stream: Stream,
        compressed: str,
        raw: str,
        reliability: str,
        *,
        frozen_after: float,
        frozen_is_stale: bool,
    ) -> None:
        """Of the topics ``compressed`` and ``raw``, one may be empty; the view is the stream's.

        Pictures that stay the same for ``frozen_after`` [s] are counted as a problem.
        """
        self._stream = stream
        self._frozen_after, self._frozen_is_stale = frozen_after, frozen_is_stale
        self._patient_until = time.monotonic() + _PATIENCE
        self._picture: _Picture | None = None
        self._unchanged = UnchangedPicture()
        profile = qos.newest_image(reliability)
        self._sources: list[tuple[Inbox[Any], Callable[[Any], Any]]] = []
        if compressed:
            inbox = Inbox(node, CompressedImage, compressed, profile)
            self._sources.append((inbox, lambda message: message.data.tobytes()))
        if raw:
            self._sources.append((Inbox(node, Image, raw, profile), rgb_pixels))

    def forget(self) -> None:
        """Start over, as after a pause."""
        self._picture = None
        self._stream.troubles.keep(UNCHANGED, False)
        self._unchanged = UnchangedPicture()
        self._patient_until = time.monotonic() + _PATIENCE

    def newest(self) -> View | None:
        """The newest picture; None if there is none. Raises :class:`FrameError`."""
        self._look()
        if self._picture is None:
            if time.monotonic() > self._patient_until:
                reasons = "; ".join(inbox.why_silent() for inbox, _ in self._sources)
                self._stream.warn("no image", f"no image yet: {reasons}")
            return None
        try:
            view = View(self._stream.name, self._picture.stamp, self._picture.read())
        except Exception as error:  # of this picture; the next one is read
            what = str(error) if isinstance(error, ValueError) else repr(error)
            raise FrameError(self._stream.name, what) from error
        return self._aged(view)

    def drop(self, error: FrameError) -> None:
        """Forget a picture that cannot be read: the view waits for the next one."""
        self._picture = None
        self._stream.problem(DAMAGED, f"no update with this picture: {error}")

    def _look(self) -> None:
        """Keep the newest picture of those that have come since the last look.

        An older one does not stand in their way: its stamp may be wrong, or time set back.
        """
        fresh = []
        for inbox, read in self._sources:
            message = inbox.newest()
            if message is not None:
                stamp = seconds(message.header.stamp)
                self._stream.accept(stamp)
                fresh.append(_Picture(stamp, partial(read, message)))
        if fresh:
            self._picture = max(fresh, key=lambda picture: picture.stamp)

    def _aged(self, view: View) -> View:
        """The view; of a camera that repeats itself, as old as it may be if that is wanted."""
        age = self._unchanged.age(view)
        self._stream.troubles.keep(UNCHANGED, view.stamp > age.first)
        if view.stamp - age.first > self._frozen_after:
            self._stream.problem(
                "frozen",
                f"pictures are byte for byte the same for {view.stamp - age.first:.1f} s: has the "
                "camera frozen? Parameter 'unchanged_pictures' says what to do about it",
                told=True,
            )
        return replace(view, stamp=age.earliest) if self._frozen_is_stale else view

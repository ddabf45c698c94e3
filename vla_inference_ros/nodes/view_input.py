"""One view of the VLM: its topics, its newest picture, and what is wrong with its pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import rgb_pixels, seconds
from vla_inference_ros.core.troubles import (
    BLANK,
    DAMAGED,
    REPEATED_PICTURES,
    TWIN,
    UNCHANGED,
)
from vla_inference_ros.model.interface import VIEWS, FrameError, View
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.parameters import ParameterError
from vla_inference_ros.nodes.picture_inbox import PictureInbox
from vla_inference_ros.nodes.stream import Stream

_PATIENCE = 5.0  # from the start on, before a view without images is warned of [s]
# What a dead view may have, and what may be done about it.
_REMEDIES = {
    UNCHANGED: "has the camera, or its driver, frozen?",
    REPEATED_PICTURES: "does its driver, or a recording, send them?",
    BLANK: "is the lens covered, or the light off?",
    TWIN: "does one camera send for both?",
}


@dataclass(frozen=True, slots=True)
class _Picture:
    """A view's newest picture; ``read`` gives the model's form of it, when it is needed."""

    stamp: float
    read: Callable[[], Any]


class ViewInput:
    """For two threads: the one that makes updates and the one that watches the pictures."""

    def __init__(
        self,
        node: Node,
        stream: Stream,
        compressed: str,
        raw: str,
        reliability: str,
        *,
        allow_several: bool,
    ) -> None:
        """Of the topics ``compressed`` and ``raw``, one may be empty; the view is the stream's.
        With ``allow_several``, a topic's pictures may be of more than one publisher.
        """
        self._stream = stream
        self._lock = threading.Lock()  # of the inboxes and of what has come
        self._patient_until = time.monotonic() + _PATIENCE
        self._picture: _Picture | None = None
        self._looked_at: _Picture | None = None
        self.dead: tuple[str, ...] = ()  # what is dead about the pictures, set as a whole
        profile = qos.newest_image(reliability)
        self._sources: list[tuple[PictureInbox, Callable[[Any], Any]]] = []
        if compressed:
            inbox = PictureInbox(node, CompressedImage, compressed, profile, allow_several)
            self._sources.append((inbox, lambda message: message.data.tobytes()))
        if raw:
            inbox = PictureInbox(node, Image, raw, profile, allow_several)
            self._sources.append((inbox, rgb_pixels))

    @property
    def name(self) -> str:
        """The view's."""
        return self._stream.name

    def forget(self) -> None:
        """Start over, as after a pause."""
        with self._lock:
            self._picture = self._looked_at = None
            for inbox, _ in self._sources:
                inbox.forget()
            self._patient_until = time.monotonic() + _PATIENCE
        self.note_dead([])

    def newest(self) -> View | None:
        """The newest picture; None if there is none. Raises :class:`FrameError`."""
        picture = self._look()
        if picture is None and time.monotonic() > self._patient_until:
            reasons = "; ".join(inbox.why_silent() for inbox, _ in self._sources)
            self._stream.warn("no image", f"no image yet: {reasons}")
        return self._read(picture)

    def unseen(self) -> View | None:
        """The newest picture, once; None if there is no other since. Raises :class:`FrameError`."""
        picture = self._look()
        if picture is self._looked_at:
            return None
        self._looked_at = picture
        return self._read(picture)

    def conflict(self) -> str:
        """Who publishes pictures of the view besides its camera, in plain words; '' if nobody."""
        with self._lock:
            conflicts = [each for inbox, _ in self._sources if (each := inbox.conflict())]
        return "; ".join(f"{self._stream.name}: {conflict}" for conflict in conflicts)

    def drop(self, error: FrameError, stamp: float | None = None) -> None:
        """Forget a picture that cannot be read: the view waits for the next one. ``stamp`` is its,
        for it may have been replaced, or dropped by the other thread.
        """
        with self._lock:
            picture = self._picture
            if picture is None or (stamp is not None and picture.stamp != stamp):
                return
            self._picture = None
        self._stream.problem(DAMAGED, f"no update with this picture: {error}")

    def note_odd(self, oddities: Sequence[str]) -> None:
        """Count what a picture has that ordinary ones have not; it is used all the same."""
        for oddity in oddities:
            self._stream.note(oddity, f"{oddity}; the picture is used")

    def note_dead(self, dead: Sequence[str]) -> None:
        """Tell what is dead about the newest pictures, in words of ``core.troubles``."""
        self.dead = tuple(dead)
        for what, question in _REMEDIES.items():
            self._stream.troubles.keep(what, what in dead)
            if what in dead:
                self._stream.warn(
                    what, f"{what}: {question} Parameter 'dead_pictures' says what follows"
                )

    def _look(self) -> _Picture | None:
        """Keep the newest picture of those that have come since the last look.

        An older one does not stand in their way: its stamp may be wrong, or time set back.
        """
        with self._lock:
            fresh = []
            for inbox, read in self._sources:
                message, refused = inbox.newest()
                if refused:
                    self._stream.problem(
                        "other publisher",
                        f"pictures of a second publisher are not used: {inbox.conflict()}",
                        refused,
                        told=True,
                    )
                if message is not None:
                    stamp = seconds(message.header.stamp)
                    self._stream.accept(stamp)
                    fresh.append(_Picture(stamp, partial(read, message)))
            if fresh:
                self._picture = max(fresh, key=lambda picture: picture.stamp)
            return self._picture

    def _read(self, picture: _Picture | None) -> View | None:
        if picture is None:
            return None
        try:
            return View(self.name, picture.stamp, picture.read())
        except Exception as error:  # of this picture; the next one is read
            what = str(error) if isinstance(error, ValueError) else repr(error)
            raise FrameError(self.name, what) from error


def check_views(views: list[str], compressed_topics: list[str], raw_topics: list[str]) -> None:
    """ParameterError if the node's parameters of these names do not belong together."""
    unknown = [view for view in views if view not in VIEWS]
    if unknown or not views or len(set(views)) != len(views):
        raise ParameterError(f"parameter 'views' is {views}, not some of {list(VIEWS)}")
    given = {"compressed_topics": compressed_topics, "raw_topics": raw_topics}
    for name, topics in given.items():
        if len(topics) != len(views):
            raise ParameterError(
                f"parameter {name!r} has {len(topics)} entries, not one for each of the "
                f"{len(views)} views"
            )
    for view, *of_view in zip(views, compressed_topics, raw_topics, strict=True):
        if not any(of_view):
            raise ParameterError(
                f"parameters 'compressed_topics' and 'raw_topics': none for {view}"
            )

"""One view of the VLM: its topics, its newest picture, and what is wrong with its pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from vla_inference_ros.convert import rgb_pixels, seconds
from vla_inference_ros.core.liveness import PictureRenewal
from vla_inference_ros.core.pictures import picture_content
from vla_inference_ros.core.troubles import (
    BLANK,
    DAMAGED,
    REPEATED_PICTURES,
    RESIZED,
    TWIN,
    UNCHANGED,
    other_size,
)
from vla_inference_ros.model.interface import VIEWS, FrameError, View
from vla_inference_ros.model.picture import picture_size
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
    RESIZED: "does another camera send, or in another mode? If it is to be so, restart the VLM.",
}
_REPETITIONS = (UNCHANGED, REPEATED_PICTURES)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A view's newest picture; ``read`` gives the model's form of it, when it is needed."""

    stamp: float
    read: Callable[[], Any]


@dataclass(slots=True)
class _Topic:
    """Where pictures come from; ``read`` gives the model's form of a message, and ``content`` a
    number for what it shows, None where that would cost too much for each.
    """

    inbox: PictureInbox
    read: Callable[[Any], Any]
    content: Callable[[Any], int] | None
    renewal: PictureRenewal = field(default_factory=PictureRenewal)


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
        self._seen_dead: tuple[str, ...] = ()  # by who looks at the pictures, set as a whole
        self._resized = ""  # of the picture that was read for an update
        self.size: tuple[int, int] | None = None  # that pictures are to have, once one was seen
        self._told_dead: tuple[str, ...] = ()
        self._telling = threading.Lock()  # of what is told: both threads do
        self._topics: list[_Topic] = []
        if compressed:
            profile = qos.every_image(reliability)
            inbox = PictureInbox(node, CompressedImage, compressed, profile, allow_several)
            self._topics.append(_Topic(inbox, _coded, _coded_content))
        if raw:
            profile = qos.newest_image(reliability)
            inbox = PictureInbox(node, Image, raw, profile, allow_several)
            self._topics.append(_Topic(inbox, rgb_pixels, None))

    @property
    def name(self) -> str:
        """The view's."""
        return self._stream.name

    def forget(self) -> None:
        """Start over, as after a pause."""
        with self._lock:
            self._picture = self._looked_at = None
            for topic in self._topics:
                topic.inbox.forget()
                topic.renewal = PictureRenewal()
            self._resized, self.size = "", None
            self._patient_until = time.monotonic() + _PATIENCE
        self.note_dead([])

    def newest(self) -> View | None:
        """The newest picture; None if there is none. Raises :class:`FrameError`."""
        picture = self._look()
        if picture is None and time.monotonic() > self._patient_until:
            reasons = "; ".join(topic.inbox.why_silent() for topic in self._topics)
            self._stream.warn("no image", f"no image yet: {reasons}")
        view, expected = self._read(picture), self.size
        size = picture_size(view) if view and expected else expected
        self._resized = other_size(size, expected) if size and expected and size != expected else ""
        return view

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
            conflicts = [each for topic in self._topics if (each := topic.inbox.conflict())]
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

    @property
    def dead(self) -> tuple[str, ...]:
        """What is dead about the newest pictures, in words of ``core.troubles``: of all that have
        come, of those that were looked at, and of the one that was read for an update.
        """
        with self._lock:
            repeated = {each for topic in self._topics if (each := topic.renewal.trouble)}
        seen = self._seen_dead
        if repeated:  # which knows better than who sees one in a few
            seen = tuple(what for what in seen if what not in _REPETITIONS)
        resized = self._resized  # one that comes now and then may never be looked at
        return tuple(dict.fromkeys((*sorted(repeated), *seen, *([resized] if resized else []))))

    def note_dead(self, seen: Sequence[str]) -> None:
        """Tell what is dead, with what is ``seen`` of it by looking at the pictures."""
        self._seen_dead = tuple(seen)
        with self._telling:
            before, self._told_dead = self._told_dead, self.dead
            for what in {*before, *self._told_dead}:
                self._stream.troubles.keep(what, what in self._told_dead)
        for what in self._told_dead:
            kind = next(kind for kind in _REMEDIES if what.startswith(kind))
            self._stream.warn(
                kind, f"{what}: {_REMEDIES[kind]} Parameter 'dead_pictures' says what follows"
            )

    def _look(self) -> _Picture | None:
        """Keep the newest picture of those that have come since the last look.

        An older one does not stand in their way: its stamp may be wrong, or time set back.
        """
        with self._lock:
            fresh = []
            for topic in self._topics:
                messages, refused = topic.inbox.take()
                if refused:
                    self._stream.problem(
                        "other publisher",
                        f"pictures of a second publisher are not used: {topic.inbox.conflict()}",
                        refused,
                        told=True,
                    )
                if topic.content is not None:
                    for message in messages:
                        topic.renewal.add(seconds(message.header.stamp), topic.content(message))
                if messages:
                    stamp = seconds(messages[-1].header.stamp)
                    self._stream.accept(stamp)
                    fresh.append(_Picture(stamp, partial(topic.read, messages[-1])))
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


def _coded(message: CompressedImage) -> bytes:
    data: bytes = message.data.tobytes()
    return data


def _coded_content(message: CompressedImage) -> int:
    return picture_content(_coded(message))


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

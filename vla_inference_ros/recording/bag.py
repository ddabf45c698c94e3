"""A bag as a recording: of this package's bag recorder or of ``ros2 bag record``, whole or not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.recording.bag_files import is_bag, open_files
from vla_inference_ros.recording.bag_message import RawMessage, Topic
from vla_inference_ros.recording.definitions import definition_of, message_class
from vla_inference_ros.recording.messages import (
    camera_frame,
    result_of,
    robot_packet,
    sensor_datagram,
)
from vla_inference_ros.recording.odd import Leaving, Odd, OddError, RecordingError
from vla_inference_ros.recording.pairing import Pairing, Picture
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.topics import (
    ACTIONS,
    FEATURES,
    FRAME_INFO,
    IMAGES,
    ROBOT_STATE,
    SAMPLES,
    TOPICS,
)
from vla_inference_ros.recording.traffic import Received

if TYPE_CHECKING:
    from vla_inference_ros.recording.older import OlderMessages

__all__ = ["Bag", "RawMessage", "is_bag"]

_PATIENCE = 1_000_000_000  # how much later than a picture what is known of it may stand [ns]
_KEPT = 30_000_000_000  # how much sooner; by then the picture was lost [ns]
_VIEWS = {topic: view for view, topic in IMAGES.items()}

_Made = TypeVar("_Made")


class Bag:
    """A folder of a bag, or an MCAP file. One that is not ``complete`` was not finished, and is
    read as far as it can be.

    The times of receipt are those that the bag says: of this package's recorder when a message was
    published, of ``ros2 bag record`` when it came there.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        """Raises RecordingError; with ``strict`` also for what is else left out as odd."""
        self.path = path
        self.odd = Odd(strict)
        self._files = open_files(path)
        self._older: dict[str, OlderMessages] = {}  # of topics that were checked
        if not TOPICS.keys() & self._files.topics.keys():
            found = ", ".join(sorted(self._files.topics)) or "none at all"
            if not self._files.topics:  # perhaps they are in what is damaged
                list(self.raw())
            found = ". ".join([found, *self.odd.lines()])
            raise RecordingError(
                f"{path} has none of the topics of a run, such as {ACTIONS}; its topics are: "
                f"{found}"
            )

    @property
    def complete(self) -> bool:
        """Whether its files have been finished."""
        return self._files.complete

    def topics(self) -> dict[str, str]:
        """The type of each topic that is in it, such as sensor_msgs/msg/JointState."""
        return {name: topic.type for name, topic in self._files.topics.items()}

    def raw(self, topics: Collection[str] | None = None) -> Iterator[RawMessage]:
        """All messages as they stand there, or those of some topics; oldest first. What the files
        have lost of them is told of by ``odd``.
        """
        leavings: dict[str, Leaving] = {}

        def tell(what: str, count: int, why: str) -> None:
            leaving = leavings.setdefault(what, self.odd.reading(what))
            leaving.out(OddError("damaged in the file", why), count)

        return self._files.raw(self._files.topics if topics is None else topics, tell)

    def frames(self) -> Iterator[Received[CameraFrame]]:
        """All pictures, by the time of receipt."""
        pairing = Pairing()
        leavings = {topic: self.odd.reading(topic) for topic in IMAGES.values()}
        patience = _PATIENCE if FRAME_INFO in self._files.topics else -1
        for raw, message in self._messages(FRAME_INFO, *IMAGES.values()):
            if raw.topic == FRAME_INFO:
                pairing.add_info(message, raw.stamp_ns)
            else:
                pairing.add_picture(Picture(_VIEWS[raw.topic], message, raw.stamp_ns))
            yield from self._frames(pairing.take(raw.stamp_ns - patience), leavings)
            pairing.never_came(raw.stamp_ns - _KEPT)  # a bag may be of some of a run's topics
        yield from self._frames(pairing.take(2**63), leavings)

    def _frames(
        self, pictures: Iterator[Picture], leavings: Mapping[str, Leaving]
    ) -> Iterator[Received[CameraFrame]]:
        for each in pictures:
            topic = IMAGES[each.view]
            where = self._where(topic, each.published)
            given = (each.image, each.info, each.view, each.published / 1e9)
            if (frame := leavings[topic].made(where, camera_frame, *given)) is not None:
                yield frame

    def states(self) -> Iterator[Received[RobotPacket]]:
        """All robot states, by the time of receipt."""
        return self._all(ROBOT_STATE, lambda message, at: robot_packet(message, at / 1e9))

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        """All sensor samples, by the time of receipt."""
        return self._all(SAMPLES, lambda message, at: sensor_datagram(message, at / 1e9))

    def results(self) -> Iterator[Result]:
        """All action chunks."""
        return self._all(ACTIONS, lambda message, _: result_of(message))

    def features(self) -> Iterator[Features]:
        """All VLM updates."""
        return self._all(FEATURES, lambda message, _: _features(message))

    def _all(self, topic: str, make: Callable[[Any, int], _Made]) -> Iterator[_Made]:
        """What is made of the messages of a topic and their log times [ns]."""
        leaving = self.odd.reading(topic)
        for raw, message in self._messages(topic):
            made = leaving.made(self._where(topic, raw.stamp_ns), make, message, raw.stamp_ns)
            if made is not None:
                yield made

    def current(
        self, topics: Collection[str], check: Callable[[str, Any], None]
    ) -> Iterator[RawMessage]:
        """The messages of topics in the form that their types have now, oldest first. Left out is
        what does not deserialize, and what ``check``, given the topic and the message, refuses with
        a ValueError.
        """
        leavings = {topic: self.odd.reading(topic) for topic in topics}
        for raw, message in self._messages(*topics):
            where = self._where(raw.topic, raw.stamp_ns)
            if leavings[raw.topic].made(where, _checked, check, raw.topic, message):
                is_older = raw.topic in self._older
                yield replace(raw, data=serialize_message(message)) if is_older else raw

    def _messages(self, *topics: str) -> Iterator[tuple[RawMessage, Any]]:
        for raw, leaving in self._readable(topics):
            older = self._older.get(raw.topic)
            try:
                message = older.read(raw.data) if older else _deserialized(raw)
            except ValueError as error:
                what = f"{self._where(raw.topic, raw.stamp_ns)}: {error}"
                leaving.out(OddError("does not deserialize", what))
                continue
            yield raw, message

    def _readable(self, topics: Collection[str]) -> Iterator[tuple[RawMessage, Leaving]]:
        """The messages of topics that can be read, and where to tell what is odd of each."""
        for topic in topics:
            self.check(topic)
        leavings = {topic: self.odd.reading(topic) for topic in topics}
        for raw in self.raw(topics):
            yield raw, leavings[raw.topic]

    def check(self, topic: str) -> None:
        """RecordingError if a topic of a run is of another type than ours, or of a version of it
        that has what ours has not.
        """
        found = self._files.topics.get(topic)
        if found is None:
            return
        if found.type != TOPICS[topic]:
            raise RecordingError(
                f"{self.path}: {topic} is of type {found.type}, not {TOPICS[topic]}: is it "
                "another node's?"
            )
        is_known = topic in self._older or found.type_hash == _hash_of(found.type)
        if not is_known and (found.type_hash or found.definition):
            self._check_version(topic, found)

    def _check_version(self, topic: str, found: Topic) -> None:
        # Most bags do without it.
        from vla_inference_ros.recording.older import OlderMessages, OtherVersionError, hash_of

        try:
            told = found.type_hash or hash_of(found.type, found.definition)
            if told != _hash_of(found.type):
                self._older[topic] = OlderMessages(found.type, found.definition)
        except OtherVersionError as error:
            raise RecordingError(
                f"{self.path}: {topic} was recorded with another version of {found.type} "
                f"({error}): read it with the version of this package that recorded it"
            ) from error

    def _where(self, topic: str, stamp_ns: int) -> str:
        return f"{self.path}: the message on {topic} at {stamp_ns / 1e9:.6f}"


def _checked(check: Callable[[str, Any], None], topic: str, message: Any) -> bool:
    check(topic, message)
    return True


def _deserialized(raw: RawMessage) -> Any:
    try:
        return deserialize_message(raw.data, message_class(raw.type))
    except Exception as error:  # whatever the middleware raises
        raise ValueError(f"does not deserialize: {error}") from error


@cache
def _hash_of(message_type: str) -> str:
    return definition_of(message_type).hash


def _features(message: VLFeatures) -> Features:
    return Features(
        update_id=message.update_id,
        data=np.asarray(message.data, np.float32).reshape(message.shape),
        view_stamps={
            view: seconds(stamp)
            for view, stamp in zip(message.views, message.view_stamps, strict=True)
        },
        instruction=message.instruction,
        model_id=message.model_id,
        started=seconds(message.started),
        finished=seconds(message.finished),
    )

"""What the recorder hears: the topics, read when it asks, as what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.msg import ActionChunk, FrameInfo, RobotState, SensorBatch
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.numbered_inbox import NumberedInbox
from vla_inference_ros.nodes.saving import Item
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode
from vla_inference_ros.recording.messages import (
    camera_frame,
    result_of,
    robot_packet,
    sensor_datagram,
)
from vla_inference_ros.recording.pairing import Pairing, Picture
from vla_inference_ros.recording.topics import ACTIONS, FRAME_INFO, IMAGES, ROBOT_STATE, SAMPLES

# For what is known of a picture, while nothing newer of the kind comes, and while nobody publishes
# it, as far as is known yet [ns].
_PATIENCE, _DISCOVERY = 5_000_000_000, 1_000_000_000
# For a picture of which more is known already, while the run lasts, and at its end [ns].
_LATE, _LATE_AT_THE_END = 10_000_000_000, 1_000_000_000
_RESULT_BYTES = 2000  # of an action chunk as JSON, about


class RecordedTopics:
    """For one thread. ``streams`` count what does not fit, and what never arrived."""

    def __init__(self, node: VlaNode[Any], streams: Mapping[str, Stream]) -> None:
        self._node, self._streams = node, streams
        self._images = {
            view: _numbered(node, CompressedImage, topic, streams["frames"])
            for view, topic in IMAGES.items()
        }
        self._infos = _numbered(node, FrameInfo, FRAME_INFO, streams["frames"])
        self._newest_info = 0  # when it was published [Unix ns]
        self._pairing = Pairing()
        self._others: list[tuple[NumberedInbox, str, Callable[[Any, float], Item]]] = [
            (_numbered(node, kind, topic, streams[name]), name, make)
            for kind, topic, name, make in (
                (RobotState, ROBOT_STATE, "robot", _state),
                (SensorBatch, SAMPLES, "sensor", _samples),
                (ActionChunk, ACTIONS, "results", _result),
            )
        ]

    def take(self, all_of_it: bool = False) -> Iterator[Item]:
        """What has come since the last call. A picture waits for what is known of it, unless it is
        to be ``all_of_it``.
        """
        for source, name, make in self._others:
            for message, published in source.take():
                yield from self._made(name, partial(make, message, published / 1e9))
        yield from self._frames(all_of_it)

    def _frames(self, all_of_it: bool) -> Iterator[Item]:
        found = [
            Picture(view, image, published)
            for view, source in self._images.items()
            for image, published in source.take()
        ]
        for picture in sorted(found, key=lambda picture: picture.published):
            self._pairing.add_picture(picture)
        for info, published in self._infos.take():  # after the images, before which they were sent
            self._pairing.add_info(info, published)
            self._newest_info = max(self._newest_info, published)
        for picture in self._pairing.take(2**63 if all_of_it else self._until()):
            if picture.info is None:
                self._streams["frames"].warn(
                    "no info", f"nothing is known of a picture of {picture.view} but its topic"
                )
            yield from self._made("frames", partial(_frame, picture))
        late = _LATE_AT_THE_END if all_of_it else _LATE
        for frame, count in self._pairing.never_came(self._newest_info - late).items():
            self._streams["frames"].problem(
                "never came",
                f"{count} picture(s) of {frame} have not come, nor any later one, although "
                f"{FRAME_INFO} tells of them: this node does not hear their topic; restart it",
                count,
            )

    def _until(self) -> int:
        """The instant before which the infos of pictures have come, if they ever will [Unix ns]."""
        now = round(self._node.now() * 1e9)
        is_published = self._infos.inbox.count_publishers() > 0  # not by other camera drivers
        return max(self._newest_info, now - (_PATIENCE if is_published else _DISCOVERY))

    def _made(self, name: str, make: Callable[[], Item]) -> Iterator[Item]:
        try:
            yield make()
        except ValueError as error:
            self._streams[name].problem("not fit to be saved", str(error))
        except Exception as error:  # of this message; the next ones are saved
            self._streams[name].refuse(error)


def _numbered(node: VlaNode[Any], kind: type[Any], topic: str, stream: Stream) -> NumberedInbox:
    return NumberedInbox(node, Inbox(node, kind, topic, qos.recorded(topic)), stream)


def _frame(picture: Picture) -> Item:
    image = picture.image
    frame = camera_frame(image, picture.info, picture.view, picture.published / 1e9)
    return Item("frames", frame, len(image.data), seconds(image.header.stamp))


def _state(state: RobotState, published: float) -> Item:
    return Item("robot", robot_packet(state, published), 300, seconds(state.header.stamp))


def _samples(batch: SensorBatch, published: float) -> Item:
    samples = sensor_datagram(batch, published)
    size = samples.packet.ascan.nbytes
    return Item("sensor", samples, size, seconds(batch.header.stamp), len(batch.stamps))


def _result(chunk: ActionChunk, _: float) -> Item:
    return Item("results", result_of(chunk), _RESULT_BYTES, seconds(chunk.header.stamp))

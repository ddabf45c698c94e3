"""What the recorder hears: the topics, read when it asks, as what was sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, FrameInfo, RobotState, SensorBatch
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.saving import Item, NumberedInbox
from vla_inference_ros.nodes.vla_node import Stream, VlaNode
from vla_inference_ros.recording.messages import (
    camera_frame,
    result_of,
    robot_packet,
    sensor_datagram,
)

_PATIENCE = 1.0  # for what is known of a picture, which is sent before it [s]
_LATEST_PICTURE = 30.0  # after what is known of it; by then it was lost [s]
_RESULT_BYTES = 2000  # of an action chunk as JSON, about


class RecordedTopics:
    """For one thread. ``streams`` count what does not fit, and what never arrived."""

    def __init__(self, node: VlaNode[Any], streams: Mapping[str, Stream]) -> None:
        self._streams = streams
        self._images = {
            view: NumberedInbox(
                node,
                Inbox(
                    node,
                    CompressedImage,
                    f"/camera/{view.lower()}/image_raw/compressed",
                    qos.RECORDED_IMAGES,
                ),
                streams["frames"],
            )
            for view in VIEWS
        }
        infos = Inbox(node, FrameInfo, "/camera/frame_info", qos.RECORDED)
        self._infos = NumberedInbox(node, infos, streams["frames"])
        self._known: dict[tuple[str, float], tuple[FrameInfo, float]] = {}
        self._waiting: list[tuple[float, str, CompressedImage, float]] = []
        self._others: list[tuple[NumberedInbox, str, Callable[[Any, float], Item]]] = [
            (NumberedInbox(node, Inbox(node, kind, topic, qos.RECORDED), streams[name]), name, make)
            for kind, topic, name, make in (
                (RobotState, "/robot/state", "robot", _state),
                (SensorBatch, "/sensor/samples", "sensor", _samples),
                (ActionChunk, "/vla/actions", "results", _result),
            )
        ]

    def take(self, all_of_it: bool = False) -> Iterator[Item]:
        """What has come since the last call. A picture waits for what is known of it, unless it is
        to be ``all_of_it``.
        """
        for source, name, make in self._others:
            for message, published in source.take():
                yield from self._made(name, partial(make, message, published / 1e9))
        yield from self._frames(-1.0 if all_of_it else _PATIENCE)

    def _frames(self, patience: float) -> Iterator[Item]:
        now = time.monotonic()
        for view, source in self._images.items():
            for image, published in source.take():
                self._waiting.append((now, view, image, published / 1e9))
        for info, _ in self._infos.take():  # after the images, before which they were sent
            self._known[info.header.frame_id, seconds(info.header.stamp)] = info, now
        waiting, self._waiting = self._waiting, []
        for arrival, view, image, received in waiting:
            key = (image.header.frame_id, seconds(image.header.stamp))
            info = self._known.pop(key, (None, now))[0]
            if info is None and now - arrival < patience:
                self._waiting.append((arrival, view, image, received))
                continue
            if info is None:
                self._streams["frames"].warn(
                    "no info", f"nothing is known of a picture of {view} but its topic"
                )
            yield from self._made("frames", partial(_frame, image, info, view, received))
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop what is known of pictures that never came."""
        while self._known:
            oldest = next(iter(self._known))
            if now - self._known[oldest][1] < _LATEST_PICTURE:
                return
            del self._known[oldest]

    def _made(self, name: str, make: Callable[[], Item]) -> Iterator[Item]:
        try:
            yield make()
        except ValueError as error:
            self._streams[name].problem("not fit to be saved", str(error))


def _frame(image: CompressedImage, info: FrameInfo | None, view: str, published: float) -> Item:
    frame = camera_frame(image, info, view, published)
    return Item("frames", frame, len(image.data), seconds(image.header.stamp))


def _state(state: RobotState, published: float) -> Item:
    return Item("robot", robot_packet(state, published), 300, seconds(state.header.stamp))


def _samples(batch: SensorBatch, published: float) -> Item:
    samples = sensor_datagram(batch, published)
    size = samples.packet.ascan.nbytes
    return Item("sensor", samples, size, seconds(batch.header.stamp), len(batch.stamps))


def _result(chunk: ActionChunk, _: float) -> Item:
    return Item("results", result_of(chunk), _RESULT_BYTES, seconds(chunk.header.stamp))

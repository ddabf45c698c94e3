"""Bags for tests: what ``recorded`` publishes, written by this package or as others write it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from recorded import OFFSET, START, STEP, chunk, datagram, frame, packet, published
from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.msg import ActionChunk, VLFeatures
from vla_inference_ros.recording.bag import Bag, RawMessage
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.definitions import definition_of
from vla_inference_ros.recording.messages import result_of
from vla_inference_ros.recording.topics import FEATURES, TOPICS

COUNT = 20  # of each, in a bag for tests
FIRST = 1_700_000_100_000_000_000  # log time of the first message [ns]
BETWEEN = round(STEP * 1e9)  # two messages of a topic [ns]


def log_time(number: int, place: int = 0) -> int:
    """Of the message of a number that is the ``place``-th of those of its time [ns]."""
    return FIRST + number * BETWEEN + place * 1000


def features(number: int) -> VLFeatures:
    return VLFeatures(
        header=header(START),
        update_id=number + 1,
        instruction="prompt",
        model_id="model",
        views=["View1", "View2"],
        view_stamps=[time_message(START), time_message(START + 0.25)],
        started=time_message(START + 1.0),
        finished=time_message(START + 1.5),
        shape=[1, 1, 4],
        data=array("f", [number, 1.0, 2.0, 3.0]),
    )


def raw(topic: str, message: Any, stamp: int, message_type: str = "") -> RawMessage:
    return RawMessage(topic, message_type or TOPICS[topic], stamp, serialize_message(message))


@cache  # serialized once: what lies between the fields is anything
def run_messages(count: int = COUNT) -> tuple[RawMessage, ...]:
    """Of a run, by log time."""
    return tuple(
        raw(topic, message, log_time(number, place))
        for number in range(count)
        for place, (topic, message) in enumerate([*published(number), (FEATURES, features(number))])
    )


def write(writer: BagWriter, messages: Iterable[RawMessage]) -> None:
    for each in messages:
        writer.write(each.topic, each.type, each.stamp_ns, each.data)


def bag(folder: Path, messages: Iterable[RawMessage]) -> Path:
    """A whole bag, of several chunks."""
    writer = BagWriter(folder)
    for number, each in enumerate(messages):
        write(writer, [each])
        if number % 31 == 30:
            writer.flush()
    writer.close()
    return folder


def file_of(folder: Path) -> Path:
    (found,) = folder.glob("*.mcap")
    return found


def cut_off(folder: Path, size: int) -> Path:
    """A bag as its recorder leaves it when it is killed."""
    (folder / "metadata.yaml").unlink(missing_ok=True)
    with file_of(folder).open("r+b") as file:
        file.truncate(size)
    return folder


def foreign_bag(
    folder: Path,
    messages: Iterable[RawMessage],
    storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:
    """As another recorder writes it."""
    writer = Writer(folder, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    connections: dict[str, Connection] = {}
    with writer:
        for each in messages:
            if each.topic not in connections:
                known = definition_of(each.type)
                connections[each.topic] = writer.add_connection(
                    each.topic, each.type, msgdef=known.text, rihs01=known.hash
                )
            writer.write(connections[each.topic], each.stamp_ns, each.data)
    return folder


def random_bytes(size: int, seed: int = 0) -> bytes:
    """What does not compress."""
    return np.random.default_rng(seed).bytes(size)


def parts(messages: Iterable[RawMessage]) -> list[tuple[Any, ...]]:
    return [(each.topic, each.type, each.stamp_ns, each.data) for each in messages]


def assert_holds(path: Path, count: int = COUNT) -> None:
    """The first so many of each, as they were sent and published."""
    found = Bag(path)
    assert len(list(found.frames())) == count
    for number, got in enumerate(found.frames()):
        assert got.packet == frame(number)
        assert (got.view, got.clock_offset) == ("View1", OFFSET)
        assert got.received == log_time(number, 1) / 1e9
    assert [got.packet for got in found.states()] == [packet(number) for number in range(count)]
    for number, state in enumerate(found.states()):
        assert (state.clock_offset, state.received) == (OFFSET, log_time(number, 2) / 1e9)
    batches = list(found.samples())
    assert len(batches) == count
    for number, batch in enumerate(batches):
        sent = datagram(number)
        np.testing.assert_allclose(batch.packet.times, sent.times, rtol=0, atol=1e-6)
        np.testing.assert_array_equal(batch.packet.ascan, sent.ascan)
        assert (batch.clock_offset, batch.received) == (OFFSET, log_time(number, 3) / 1e9)
    chunks = [deserialize_message(serialize_message(chunk(n)), ActionChunk) for n in range(count)]
    assert list(found.results()) == [result_of(sent) for sent in chunks]
    updates = list(found.features())
    assert [update.update_id for update in updates] == [n + 1 for n in range(count)]
    for number, update in enumerate(updates):
        assert update.data.shape == (1, 1, 4)
        assert update.data.dtype == np.float32
        assert update.data.ravel().tolist() == features(number).data.tolist()
        assert update.view_stamps == {"View1": START, "View2": START + 0.25}
        assert (update.instruction, update.model_id) == ("prompt", "model")
        assert (update.started, update.finished) == (START + 1.0, START + 1.5)

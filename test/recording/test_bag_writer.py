"""What a bag holds, as readers that are not ours find it."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from bags import COUNT, bag, file_of, log_time, random_bytes, run_messages, write
from recorded import chunk
from rosbags.interfaces import ConnectionExtRosbag2, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.recording import mcap_file
from vla_inference_ros.recording.appending import write_all
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter, bag_name
from vla_inference_ros.recording.definitions import (
    UnknownTypeError,
    definition_of,
    message_class,
)
from vla_inference_ros.recording.topics import IMAGES, LATCHED, TOPICS

TYPES = sorted(set(TOPICS.values()))
PICTURE = "sensor_msgs/msg/CompressedImage"


@pytest.fixture
def node() -> Iterator[Any]:
    rclpy.init()
    node = rclpy.create_node("types")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def typestore(message_type: str, definition: str) -> Any:
    """Of a definition alone, as a reader without ROS has it."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, message_type))
    return store


def test_hashes_are_those_that_ros_knows_the_types_by(node: Any) -> None:
    for number, name in enumerate(TYPES):
        publisher = node.create_publisher(message_class(name), f"/type_{number}", 1)
        (info,) = node.get_publishers_info_by_topic(publisher.topic_name)
        assert definition_of(name).hash == str(info.topic_type_hash)


@pytest.mark.parametrize("name", TYPES)
def test_a_definition_is_all_that_is_needed_to_read_a_type(name: str) -> None:
    definition = definition_of(name)
    assert typestore(name, definition.text).hash_rihs01(name) == definition.hash


def test_an_overlay_comes_before_what_it_lies_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = definition_of("std_msgs/msg/String")
    folder = tmp_path / "share" / "std_msgs" / "msg"
    folder.mkdir(parents=True)
    (folder / "String.msg").write_text("string data  # of the overlay\n", encoding="utf-8")
    (folder / "String.json").write_text(
        '{"type_description_msg": {"referenced_type_descriptions": []}, "type_hashes": '
        '[{"type_name": "std_msgs/msg/String", "hash_string": "RIHS01_0"}]}',
        encoding="utf-8",
    )
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/no/where{os.pathsep}{tmp_path}")
    assert definition_of("std_msgs/msg/String").hash == "RIHS01_0"
    assert definition_of("std_msgs/msg/String").text == "string data  # of the overlay\n"
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/no/where")
    assert definition_of("std_msgs/msg/String") == known


@pytest.mark.parametrize("name", ["none_msgs/msg/None", "std_msgs/msg/None", "std_msgs", ""])
def test_a_type_that_is_not_installed_is_named(name: str, tmp_path: Path) -> None:
    for ask in (definition_of, message_class):
        with pytest.raises(UnknownTypeError, match=f"message type '{name}' is not installed"):
            ask(name)
    writer = BagWriter(tmp_path / "bag")
    with pytest.raises(UnknownTypeError):
        writer.write("/topic", name, 0, b"")
    write(writer, run_messages(1))  # goes on
    writer.close()
    assert len(list(Bag(writer.folder).results())) == 1


def test_topics_of_pictures_are_those_of_the_views() -> None:
    assert tuple(IMAGES) == VIEWS
    assert set(IMAGES.values()) <= set(TOPICS)


def test_another_reader_finds_all_as_it_was_written(tmp_path: Path) -> None:
    written = list(run_messages())
    folder = bag(tmp_path / "bag", written)
    for path in (folder, file_of(folder)):  # by metadata.yaml, and by the file's own summary
        with Reader(path) as reader:
            found = [(c.topic, c.msgtype, t, data) for c, t, data in reader.messages()]
            assert found == [(each.topic, each.type, each.stamp_ns, each.data) for each in written]
            counts = Counter(each.topic for each in written)
            assert {c.topic: c.msgcount for c in reader.connections} == counts
            assert reader.message_count == len(written)
            assert reader.start_time == log_time(0)
            assert reader.end_time == written[-1].stamp_ns + 1


def test_a_folder_says_of_its_topics_what_ros_says(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    for topic, name in TOPICS.items():
        writer.write(topic, name, 1, b"")
    writer.close()
    with Reader(writer.folder) as reader, Reader(file_of(writer.folder)) as inside:
        assert {c.topic: c.msgtype for c in reader.connections} == TOPICS
        for connection, same in zip(reader.connections, inside.connections, strict=True):
            assert connection.digest == definition_of(connection.msgtype).hash
            assert connection.msgdef.data == definition_of(connection.msgtype).text
            assert same.ext == connection.ext
            assert isinstance(connection.ext, ConnectionExtRosbag2)
            (qos,) = connection.ext.offered_qos_profiles
            assert qos.reliability is QosReliability.RELIABLE
            latched = connection.topic in LATCHED
            assert qos.durability is (
                QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
            )
    content = yaml.safe_load((writer.folder / "metadata.yaml").read_text(encoding="utf-8"))
    information = content["rosbag2_bagfile_information"]
    assert information["version"] == 9
    assert information["storage_identifier"] == "mcap"
    assert information["relative_file_paths"] == ["bag_0.mcap"]


def test_numbers_are_reached_with_nothing_but_the_file(tmp_path: Path) -> None:
    """As plotters do."""
    with Reader(file_of(bag(tmp_path / "bag", run_messages()))) as reader:
        stores = {c.topic: typestore(c.msgtype, c.msgdef.data) for c in reader.connections}
        read = [
            stores[c.topic].deserialize_cdr(data, c.msgtype)
            for c, _, data in reader.messages()
            if c.topic == "/vla/actions"
        ]
    assert len(read) == COUNT
    for number, found in enumerate(read):
        sent = chunk(number)
        assert found.chunk_id == sent.chunk_id
        assert found.inference_time == pytest.approx(sent.inference_time)
        assert found.robot_state.joint_position.tolist() == sent.robot_state.joint_position.tolist()
        assert found.actions.tolist() == sent.actions.tolist()


def test_what_is_flushed_can_be_read_while_the_bag_grows(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    messages = list(run_messages(3))
    write(writer, messages[:-1])
    writer.flush()
    write(writer, messages[-1:])
    growing = Bag(writer.folder)
    assert not growing.complete
    assert list(map(_parts, growing.raw())) == list(map(_parts, messages[:-1]))
    writer.flush()
    writer.flush()  # nothing new
    assert list(map(_parts, Bag(writer.folder).raw())) == list(map(_parts, messages))
    writer.close()
    assert Bag(writer.folder).complete


def _parts(message: Any) -> tuple[Any, ...]:
    return message.topic, message.type, message.stamp_ns, message.data


def test_an_empty_bag_is_one(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.close()
    for path in (writer.folder, file_of(writer.folder)):
        with Reader(path) as reader:
            assert reader.message_count == 0
            assert list(reader.messages()) == []


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    writers = [BagWriter(tmp_path / "bag") for _ in range(2)]
    for writer in writers:
        writer.close()
    assert list((tmp_path / "bag").iterdir()) == []
    assert [writer.folder.name for writer in writers] == ["bag_2", "bag_3"]
    assert [file_of(writer.folder).name for writer in writers] == ["bag_2_0.mcap", "bag_3_0.mcap"]


def test_folders_are_called_after_the_start() -> None:
    assert bag_name(1_700_000_000.9) == bag_name(1_700_000_000.0) == "bag_20231114_221320"


def test_memory_does_not_grow_with_the_bag(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    picture = random_bytes(150_000)
    tracemalloc.start()
    for number in range(600):  # 90 MB
        writer.write(IMAGES["View1"], PICTURE, number, picture)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    writer.close()
    assert most < 4 * mcap_file.CHUNK_SIZE
    assert file_of(writer.folder).stat().st_size > 90e6


class Disk:
    """That takes so many bytes more, the last of them half-way through a piece."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self._write = write_all
        monkeypatch.setattr(mcap_file, "write_all", self)

    def __call__(self, descriptor: int, data: bytes) -> None:
        self._write(descriptor, data[: self.room])
        if len(data) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)


def test_a_full_disk_leaves_the_bag_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = BagWriter(tmp_path / "bag")
    messages = list(run_messages(4))
    write(writer, messages[:9])
    writer.flush()
    size = file_of(writer.folder).stat().st_size
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        write(writer, messages[9:12])
        for disk.room in (0, 8, 100, 10_000):
            with pytest.raises(OSError, match="No space"):
                writer.flush()
            assert file_of(writer.folder).stat().st_size == size
            assert len(list(Bag(writer.folder).raw())) == 9
    write(writer, messages[12:])
    writer.close()
    assert list(map(_parts, Bag(writer.folder).raw())) == list(map(_parts, messages))


def test_what_a_full_disk_refuses_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = BagWriter(tmp_path / "bag")
    picture = random_bytes(mcap_file.CHUNK_SIZE // 2)
    topic = IMAGES["View1"]
    with monkeypatch.context() as patch:
        Disk(patch)
        writer.write(topic, PICTURE, 0, picture)
        for number in (1, 2, 3):
            with pytest.raises(OSError, match="No space"):
                writer.write(topic, PICTURE, number, picture)
    writer.write(topic, PICTURE, 4, picture)
    writer.close()
    assert [each.stamp_ns for each in Bag(writer.folder).raw()] == [0, 4]


def test_a_bag_that_cannot_be_finished_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = BagWriter(tmp_path / "bag")
    write(writer, run_messages(2))
    writer.flush()
    Disk(monkeypatch)
    with pytest.raises(OSError, match="No space"):
        writer.close()
    assert not (writer.folder / "metadata.yaml").exists()
    assert len(list(Bag(writer.folder).results())) == 2

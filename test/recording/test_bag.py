"""A bag as a recording, whoever wrote it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from bags import (
    COUNT,
    assert_holds,
    bag,
    cut_off,
    file_of,
    parts,
    random_bytes,
    raw,
    run_messages,
    write,
)
from damaged_mcap import messages_by_place
from recorded import CAMERA, OFFSET, TOPIC, frame

from vla_inference_ros import convert
from vla_inference_ros.recording.bag import Bag, RawMessage, is_bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import traffic
from vla_inference_ros.recording.topics import FEATURES, FRAME_INFO, IMAGES

SECOND = 1_000_000_000


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return bag(tmp_path / "bag", run_messages())


def test_what_was_written_is_read(whole: Path) -> None:
    for path in (whole, file_of(whole)):
        assert_holds(path)
        assert Bag(path).complete
        assert parts(Bag(path).raw()) == parts(run_messages())
    assert Bag(whole).topics() == {each.topic: each.type for each in run_messages(1)}


def test_some_topics_are_read_alone(whole: Path) -> None:
    wanted = ("/robot/state", FEATURES, "/not/there")
    expected = [each for each in parts(run_messages()) if each[0] in wanted]
    assert parts(Bag(whole).raw(wanted)) == expected
    assert parts(Bag(whole).raw([])) == []


def test_a_bag_is_opened_as_a_recording(whole: Path) -> None:
    opened = open_recording(whole)
    assert isinstance(opened, Bag)
    assert opened.path == whole
    received = [each.received for each in traffic(opened)]
    assert len(received) == 3 * COUNT
    assert received == sorted(received)


def test_bags_are_told_from_other_folders(whole: Path, tmp_path: Path) -> None:
    assert is_bag(whole)
    assert is_bag(file_of(whole))
    assert is_bag(cut_off(whole, 1000))
    assert not is_bag(tmp_path)
    assert not is_bag(tmp_path / "not there")
    (tmp_path / "rosbag2_0.db3").touch()
    assert is_bag(tmp_path)


# --- pictures


def picture(number: int, at: int) -> RawMessage:
    return raw(TOPIC, convert.compressed_image(frame(number), OFFSET, "view1"), at)


def known(number: int, at: int) -> RawMessage:
    stamp = convert.compressed_image(frame(number), OFFSET, "view1").header
    return raw(FRAME_INFO, convert.frame_info(frame(number), OFFSET, stamp), at)


def test_what_is_known_of_a_picture_may_come_a_little_after_it(tmp_path: Path) -> None:
    """As another recorder may note it."""
    messages = [picture(0, 0), picture(1, 1), known(1, 2), known(0, SECOND - 1), picture(2, SECOND)]
    messages += [known(2, SECOND + 1)]
    frames = list(Bag(bag(tmp_path / "bag", messages)).frames())
    assert [each.packet for each in frames] == [frame(0), frame(1), frame(2)]
    assert [each.received for each in frames] == [0.0, 1e-9, 1.0]


def test_pictures_that_nothing_is_known_of_are_called_after_their_frame(tmp_path: Path) -> None:
    messages = [picture(0, 0), known(2, SECOND + 1), known(0, SECOND + 2), picture(1, SECOND + 3)]
    first, second = Bag(bag(tmp_path / "some", messages)).frames()
    for got, number in ((first, 0), (second, 1)):
        assert got.packet.camera == "view1"
        assert got.packet.send_time is None
        assert got.packet.timestamp == frame(number).timestamp + OFFSET
    (alone,) = Bag(bag(tmp_path / "none", [picture(0, 0)])).frames()
    assert (alone.packet.camera, alone.clock_offset) == ("view1", 0.0)


def test_what_is_known_of_lost_pictures_is_forgotten(tmp_path: Path) -> None:
    messages = [known(0, 0), known(1, SECOND), picture(0, 30 * SECOND + 2), known(2, 40 * SECOND)]
    late = [
        known(0, 0),
        picture(1, 29 * SECOND),
        known(1, 30 * SECOND + 1),
        picture(0, 31 * SECOND),
    ]
    (found,) = Bag(bag(tmp_path / "in time", messages)).frames()
    assert found.packet.camera == CAMERA
    assert [f.packet.camera for f in Bag(bag(tmp_path / "late", late)).frames()] == [
        CAMERA,
        "view1",
    ]


def test_every_view_has_its_topic(tmp_path: Path) -> None:
    image = convert.compressed_image(frame(0), OFFSET, "a")
    messages = [raw(topic, image, number) for number, topic in enumerate(IMAGES.values())]
    assert [each.view for each in Bag(bag(tmp_path / "bag", messages)).frames()] == list(IMAGES)


# --- without an end


def test_a_bag_without_an_end_is_read_up_to_its_last_whole_message(whole: Path) -> None:
    data = file_of(whole).read_bytes()
    counts, places = set(), messages_by_place(file_of(whole))
    for size in range(len(data) - 1, len(data) // 3, -len(data) // 41):
        cut = Bag(cut_off(whole, size))
        assert not cut.complete
        found = parts(cut.raw())
        counts.add(len(found))
        assert found == parts(run_messages())[: len(found)]
        assert len(found) == sum(end <= size for _, end, _ in places)
    assert len(counts) > 15


def test_memory_does_not_grow_with_the_bag(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    image = raw(TOPIC, convert.compressed_image(frame(0), OFFSET, "view1"), 0)
    padding = random_bytes(150_000)
    for number in range(400):  # 60 MB
        writer.write(TOPIC, image.type, number * SECOND // 30, image.data + padding)
    write(writer, run_messages(1))
    writer.close()
    whole = Bag(writer.folder)
    for read, limit in ((whole.raw, 20e6), (whole.results, 1e6), (whole.frames, 20e6)):
        tracemalloc.start()
        count = sum(1 for _ in read())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count in (1, 401, 406)
        assert most < limit

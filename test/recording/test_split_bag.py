"""A bag of several files: when the next one is begun, and that all who read bags take all."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import yaml
from bags import COUNT, parts, run_messages, write
from limited import in_child
from rosbags.rosbag2 import Reader
from split_bags import MOST, assert_whole, files_of, split_bag

from vla_inference_ros.recording import mcap_file
from vla_inference_ros.recording.appending import write_all
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.mcap_file import McapFile
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.topics import IMAGES, TOPICS


def test_no_file_is_larger_than_asked_for(tmp_path: Path) -> None:
    folder = split_bag(tmp_path / "bag")
    files = files_of(folder)
    assert [file.name for file in files] == [f"bag_{n}.mcap" for n in range(len(files))]
    assert len(files) > 2
    assert all(MOST // 2 < file.stat().st_size <= MOST for file in files[:-1])
    assert_whole(folder)


def test_the_end_of_a_file_of_all_topics_has_its_place(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", 300_000)
    for number in range(40):
        for topic, kind in TOPICS.items():
            writer.write(topic, kind, number, bytes(2000))
        writer.flush()
    writer.close()
    sizes = [file.stat().st_size for file in files_of(writer.folder)]
    assert len(sizes) > 3
    assert max(sizes) <= 300_000
    assert len(list(Bag(writer.folder).raw())) == 40 * len(TOPICS)


def test_metadata_tells_of_every_file_as_rosbag2_does(tmp_path: Path) -> None:
    folder = split_bag(tmp_path / "bag")
    content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))[
        "rosbag2_bagfile_information"
    ]
    names = [file.name for file in files_of(folder)]
    assert content["relative_file_paths"] == names
    assert [file["path"] for file in content["files"]] == names
    for file in content["files"]:
        stamps = [each.stamp_ns for each in Bag(folder / file["path"]).raw()]
        assert file["message_count"] == len(stamps)
        assert file["starting_time"]["nanoseconds_since_epoch"] == stamps[0]
        assert file["duration"]["nanoseconds"] == stamps[-1] - stamps[0]
    assert content["message_count"] == len(run_messages())
    counts = {each["message_count"] for each in content["topics_with_message_count"]}
    assert counts == {COUNT}
    assert content["custom_data"] is None


def test_no_file_lasts_longer_than_asked_for(tmp_path: Path) -> None:
    folder = split_bag(tmp_path / "bag", float("inf"), 0.5)
    files = files_of(folder)
    assert len(files) > 1
    for file in files:
        stamps = [each.stamp_ns for each in Bag(file).raw()]
        assert stamps[-1] - stamps[0] <= 500_000_000
    assert_whole(folder)


def test_a_prompt_from_long_before_does_not_end_a_file(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", most_seconds=1e6)
    prompt = "/vla/instruction"
    writer.write(prompt, TOPICS[prompt], 5, b"")
    write(writer, run_messages())
    writer.close()
    assert len(files_of(writer.folder)) == 1


def test_a_message_that_is_larger_has_a_file_of_its_own(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag", MOST)
    topic = IMAGES["View1"]
    for number, size in enumerate((10, 2 * MOST, 3 * MOST, 10)):
        writer.write(topic, TOPICS[topic], number, bytes(size))
    writer.close()
    counts = [[each.stamp_ns for each in Bag(file).raw()] for file in files_of(writer.folder)]
    assert counts == [[0], [1], [2], [3]]


def test_what_is_lost_is_said_in_the_metadata(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    write(writer, run_messages())
    writer.close({"frames": "12 dropped, full disk"})
    content = yaml.safe_load((writer.folder / "metadata.yaml").read_text(encoding="utf-8"))
    custom = content["rosbag2_bagfile_information"]["custom_data"]
    assert custom == {"frames": "12 dropped, full disk"}
    with Reader(writer.folder) as reader:
        assert reader.message_count == len(run_messages())


# --- limits of the system


def test_what_the_process_may_not_write_into_one_file_goes_into_more(tmp_path: Path) -> None:
    assert in_child(MOST, lambda: split_bag(tmp_path / "bag", float("inf"))) == 0
    files = files_of(tmp_path / "bag")
    assert len(files) > 2
    assert all(file.stat().st_size <= MOST for file in files)
    assert_whole(tmp_path / "bag")


class SmallFiles:
    """A file system whose files have at most so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
        self.most = most
        self._truncate = os.ftruncate
        monkeypatch.setattr(mcap_file, "write_all", self.write)
        monkeypatch.setattr(os, "ftruncate", self.truncate)

    def write(self, descriptor: int, data: bytes) -> None:
        room = self.most - os.lseek(descriptor, 0, os.SEEK_CUR)
        write_all(descriptor, data[:room])
        if len(data) > room:
            raise OSError(errno.EFBIG, "File too large")

    def truncate(self, descriptor: int, size: int) -> None:
        if size > self.most:
            raise OSError(errno.EFBIG, "File too large")
        self._truncate(descriptor, size)


def test_what_the_file_system_does_not_take_goes_into_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        SmallFiles(patch, MOST)
        folder = split_bag(tmp_path / "bag", float("inf"))
    assert len(files_of(folder)) > 2
    assert_whole(folder)


def test_a_limit_that_is_lowered_meanwhile_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file has then no place for its end any more."""

    def record() -> None:
        writer = BagWriter(tmp_path / "bag")
        messages = list(run_messages())
        write(writer, messages[:90])
        writer.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, resource.RLIM_INFINITY))
        write(writer, messages[90:])
        with pytest.raises(OSError, match=r"no place for the end.*bag_0\.mcap"):
            writer.close()

    assert in_child(resource.RLIM_INFINITY, record) == 0
    folder = tmp_path / "bag"
    assert parts(Bag(folder).raw()) == parts(run_messages())
    assert main([str(folder)]) == 0
    assert "bag_0.mcap: 90 messages, finished now" in capsys.readouterr().out
    assert_whole(folder)


def test_what_no_file_may_hold_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    def record() -> None:
        writer = BagWriter(tmp_path / "bag")
        topic = IMAGES["View1"]
        for number in range(60):
            write(writer, run_messages()[2 * number : 2 * number + 2])
            with pytest.raises(OSError, match="File too large"):
                writer.write(topic, TOPICS[topic], 0, bytes(2 * MOST))
        writer.close()

    assert in_child(MOST, record) == 0
    assert_whole(tmp_path / "bag")


def test_on_a_disk_without_place_for_the_next_file_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = BagWriter(tmp_path / "bag", MOST)
    messages = iter(run_messages())
    refused: Any = None
    with monkeypatch.context() as patch:

        def full(*_: object) -> McapFile:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr("vla_inference_ros.recording.bag_writer.McapFile", full)
        for each in messages:
            try:
                write(writer, [each])
            except OSError:
                refused = each
                break
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                write(writer, [refused])
    assert len(files_of(writer.folder)) == 1
    write(writer, [refused, *messages])
    writer.close()
    assert_whole(writer.folder)

"""A bag of several files whose recorder was killed, or that has very many of them."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from bags import parts, run_messages
from rosbags.rosbag2 import Reader
from split_bags import MOST, assert_whole, files_of, fill, split_bag

from vla_inference_ros.recording import mcap_file
from vla_inference_ros.recording.appending import write_all
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.mcap_file import McapFile
from vla_inference_ros.recording.recover import main


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Path]:
    """A split bag as it is left."""
    writer = BagWriter(tmp_path / "written" / "bag", MOST)
    fill(writer)
    writer.flush()
    yield shutil.copytree(writer.folder, tmp_path / "bag")
    writer.close()


def test_a_bag_whose_recorder_was_killed_is_read_and_completed(killed: Path) -> None:
    assert not Bag(killed).complete
    assert parts(Bag(killed).raw()) == parts(run_messages())
    assert main([str(killed)]) == 0
    assert_whole(killed)
    content = yaml.safe_load((killed / "metadata.yaml").read_text(encoding="utf-8"))
    written = yaml.safe_load(
        (split_bag(killed.parent / "other" / "bag") / "metadata.yaml").read_text(encoding="utf-8")
    )
    assert content == written


@pytest.mark.parametrize("kept", [0.5, 0.0])
def test_of_the_last_file_is_kept_what_is_whole(killed: Path, kept: float) -> None:
    *former, last = files_of(killed)
    begun = len(mcap_header(last))
    os.truncate(last, begun + int(kept * (last.stat().st_size - begun)))
    whole = [each for file in former for each in parts(Bag(file).raw())]
    found = parts(Bag(killed).raw())
    assert found[: len(whole)] == whole
    assert main([str(killed)]) == 0
    assert Bag(killed).complete
    assert parts(Bag(killed).raw()) == found
    with Reader(killed) as reader:
        assert reader.message_count == len(found)


def mcap_header(path: Path) -> bytes:
    """What a file begins with before it has any message."""
    data = path.read_bytes()
    length = int.from_bytes(data[9:17], "little")
    return data[: 17 + length]


def test_a_file_is_not_there_before_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill would leave one that no reader takes."""
    found: list[list[Path]] = []

    def look(descriptor: int, data: bytes) -> None:
        found.append(files_of(tmp_path))
        write_all(descriptor, data)

    monkeypatch.setattr(mcap_file, "write_all", look)
    McapFile(tmp_path / "bag_0.mcap").close()
    assert found
    assert not any(found)
    assert files_of(tmp_path) == [tmp_path / "bag_0.mcap"]
    with pytest.raises(FileExistsError):
        McapFile(tmp_path / "bag_0.mcap")


def test_a_bag_may_have_more_files_than_a_process_may_open(tmp_path: Path) -> None:
    folder = split_bag(tmp_path / "bag", float("inf"), 1e-9)
    assert len(files_of(folder)) == len(run_messages())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(int(name) for name in os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, hard))
    try:
        assert parts(Bag(folder).raw()) == parts(run_messages())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

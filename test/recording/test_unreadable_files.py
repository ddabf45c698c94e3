"""A bag's files of which nothing can be read cost themselves alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bags import assert_holds, bag, file_of, parts, run_messages

from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import main

BAD = {
    "empty": b"",  # as a power cut leaves a file that was just begun
    "zeros": bytes(5000),
    "magic alone": b"\x89MCAP0\r\n",
    "of another system": b"\x89MCAP0\r\n\x01\x0c\0\0\0\0\0\0\0\x04\0\0\0ros1\0\0\0\0",
}


@pytest.fixture(params=BAD)
def split(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A bag of two files without metadata, of which the second is bad."""
    folder = bag(tmp_path / "bag", run_messages())
    (folder / "metadata.yaml").unlink()
    first = file_of(folder)
    first.rename(folder / "bag_0.mcap")
    (folder / "bag_1.mcap").write_bytes(BAD[request.param])
    return folder


def test_what_the_others_hold_is_read(split: Path) -> None:
    found = Bag(split)
    assert parts(found.raw()) == parts(run_messages())
    (line,) = found.odd.lines()
    assert line.startswith("left out, since it is odd: 1 of its files, damaged in the file: ")
    assert str(split / "bag_1.mcap") in line
    with pytest.raises(RecordingError, match="bag_1"):
        list(Bag(split, strict=True).raw())


def test_the_others_are_recovered(split: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (split / "bag_1.mcap").read_bytes()
    assert main([str(split)]) == 0
    assert_holds(split)
    assert not Bag(split).odd.lines()
    assert (split / "bag_1.mcap.old").read_bytes() == before
    said = capsys.readouterr().out
    assert "  bag_1.mcap: left out, kept as bag_1.mcap.old: " in said
    assert main([str(split)]) == 0  # which is complete now
    assert (split / "bag_1.mcap.old").read_bytes() == before
    assert "metadata" not in capsys.readouterr().out


def test_nothing_is_touched_where_no_file_can_be_read(
    split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(split / "bag_1.mcap", split / "bag_0.mcap")
    with pytest.raises(RecordingError):
        Bag(split)
    assert main([str(split)]) == 1
    assert sorted(each.name for each in split.iterdir()) == ["bag_0.mcap", "bag_1.mcap"]
    assert "cannot be completed" in capsys.readouterr().err

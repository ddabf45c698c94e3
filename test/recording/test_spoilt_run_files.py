"""A file of a run folder that is spoilt as a whole costs itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from saved_run import only, written

from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import main as recover
from vla_inference_ros.recording.run_reader import RunFolder


def counts(run: RunFolder) -> list[int]:
    """How many pictures, robot states, sensor datagrams and action chunks a run folder has."""
    walks = (run.frames(), run.states(), run.samples(), run.results())
    return [sum(1 for _ in walk) for walk in walks]


@pytest.mark.parametrize(
    ("pattern", "place"), [("robot_state_*.csv", 1), ("frames_*.csv", 0), ("sensor_*.npz", 2)]
)
@pytest.mark.parametrize("size", [0, 20])
def test_a_file_that_was_only_begun(pattern: str, place: int, size: int, tmp_path: Path) -> None:
    folder = written(tmp_path)
    expected = counts(RunFolder(folder))
    path = only(folder, pattern)
    path.write_bytes(path.read_bytes()[:size])
    expected[place] = 0
    before = RunFolder(folder)
    assert counts(before) == expected
    (line,) = before.odd.lines()
    assert str(path) in line
    with pytest.raises(RecordingError, match=path.name):
        counts(RunFolder(folder, strict=True))
    assert recover([str(folder)]) == 0
    after = RunFolder(folder)
    assert counts(after) == expected
    assert bool(after.odd.lines()) == (path.suffix == ".npz")


@pytest.mark.parametrize("what", [bytes(700), b"\xff" * 5, b"3.5,4"])
def test_what_is_no_first_line_is_kept(what: bytes, tmp_path: Path) -> None:
    folder = written(tmp_path)
    path = only(folder, "robot_state_*.csv")
    path.write_bytes(what)
    assert recover([str(folder)]) == 0
    assert counts(RunFolder(folder))[1] == 0
    assert path.with_name(f"{path.name}.old").read_bytes() == what


@pytest.mark.parametrize("place", [0, 30, 200, -200, -10])
def test_a_sensor_file_that_is_damaged_anywhere(place: int, tmp_path: Path) -> None:
    folder = written(tmp_path)
    expected = counts(RunFolder(folder))
    path = only(folder, "sensor_*.npz")
    data = bytearray(path.read_bytes())
    del data[place : place + 7]
    path.write_bytes(data)
    run = RunFolder(folder)
    found = counts(run)
    assert found[:2] + found[3:] == expected[:2] + expected[3:]
    (line,) = run.odd.lines()
    assert line.startswith("left out, since it is odd: 1 of sensor samples, a damaged file: ")
    with pytest.raises(RecordingError, match=path.name):
        counts(RunFolder(folder, strict=True))

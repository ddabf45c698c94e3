"""Run folders whose recorder was killed, and such as are still being recorded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_recording import FakeRecording

from vla_inference_ros.export.command import main
from vla_inference_ros.export.unfinished import complete
from vla_inference_ros.recording.recording import RecordingError, traffic
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder

FAKE = FakeRecording()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RunWriter]:
    """Of a recorder that runs, and has recorded all."""
    writer = RunWriter(tmp_path / "recorded", 1_700_000_000.0)
    for frame in FAKE.frames():
        writer.add_frame(frame)
    for state in FAKE.states():
        writer.add_state(state)
    for samples in FAKE.samples():
        writer.add_samples(samples)
    for result in FAKE.results():
        writer.add_result(result)
    yield writer
    writer.close()


@pytest.fixture
def killed(writer: RunWriter) -> Path:
    """The folder of a recorder that was killed while it wrote rows: nobody holds its lock."""
    folder = writer.folder.parent / "killed"
    shutil.copytree(writer.folder, folder)
    for pattern in ("robot_state_*.csv", "frames_*.csv"):
        (table,) = folder.glob(pattern)
        with table.open("a", encoding="utf-8") as file:
            file.write("1700000009.0,17")
    (results,) = folder.glob("*.json")
    os.truncate(results, results.stat().st_size - 10)
    return folder


def test_it_is_completed_where_it_is_and_exported(
    killed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(killed), "--to", "run", "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{killed} was not finished, and has been completed:"
    assert any(line.endswith(".npz: 180 samples, finished now") for line in said)
    (made,) = (tmp_path / "out").iterdir()
    for folder in (killed, made):
        assert not list(folder.rglob("*.part"))
        run = RunFolder(folder)
        assert len(list(traffic(run))) == len(list(traffic(FAKE)))
        assert len(list(run.results())) == len(FAKE.chunk_numbers()) - 1  # the one cut off
    with np.load(next(killed.glob("*.npz"))) as sensor:
        assert len(sensor["forces"]) == 180


def test_one_that_is_still_being_recorded_is_left_alone(writer: RunWriter) -> None:
    """Though nothing has come for long, as when the senders are off."""
    before = {path: path.stat().st_size for path in writer.folder.iterdir()}
    with pytest.raises(RecordingError, match="wait until its recorder has ended"):
        complete(writer.folder)
    assert before == {path: path.stat().st_size for path in writer.folder.iterdir()}


def test_all_else_is_left_as_it_is(tmp_path: Path) -> None:
    assert complete(tmp_path) == []
    assert complete(tmp_path / "missing") == []


def test_what_is_damaged_beyond_that_is_named(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results,) = killed.glob("*.json")
    results.write_text("no list", encoding="utf-8")
    assert main([str(killed), "--to", "csv"]) == 1
    assert f"{results} is no JSON list" in capsys.readouterr().err
    assert results.read_text(encoding="utf-8") == "no list"

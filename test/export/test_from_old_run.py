"""Exports of a run folder with what receivers before this package saved, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_recording import FakeRecording

from vla_inference_ros.export.command import main
from vla_inference_ros.export.to_run import to_run
from vla_inference_ros.recording.run_reader import RunFolder

FAKE = FakeRecording(held=frozenset({12}))
KEYS = ("timestamp", "actions", "delta", "inference_time", "vl_update_number", "robot_state")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    to_run(FAKE, tmp_path / "old", None)
    (folder,) = (tmp_path / "old").iterdir()
    (results,) = folder.glob("*.json")
    chunks = json.loads(results.read_text(encoding="utf-8"))
    kept = [{key: chunk[key] for key in KEYS} for chunk in chunks]
    results.write_text(json.dumps(kept, indent=2), encoding="utf-8")
    (frames,) = folder.glob("frames_*.csv")
    frames.unlink()
    (states,) = folder.glob("robot_state_*.csv")
    pd.read_csv(states).drop(columns="clock_offset").to_csv(states, index=False)
    (sensor,) = folder.glob("*.npz")
    with np.load(sensor) as arrays:
        columns = {name: arrays[name] for name in ("timestamps", "send_timestamps", "forces")}
        np.savez(sensor.with_suffix(".new.npz"), alines=arrays["alines"], **columns)
    sensor.with_suffix(".new.npz").rename(sensor)
    return folder


def test_to_a_run_folder_of_today(old: Path, tmp_path: Path) -> None:
    assert main([str(old), "--to", "run", "--output", str(tmp_path / "new")]) == 0
    (made,) = (tmp_path / "new").iterdir()
    assert len(list(made.glob("frames_*.csv"))) == 1
    pictures = [frame.packet.jpeg for frame in FAKE.frames() if frame.view == "View2"]
    read = [frame.packet.jpeg for frame in RunFolder(made).frames() if frame.view == "View2"]
    assert read == pictures
    assert len(list(RunFolder(made).results())) == len(FAKE.chunk_numbers())


def test_to_tables_with_empty_cells(old: Path, tmp_path: Path) -> None:
    assert main([str(old), "--to", "csv", "--output", str(tmp_path)]) == 0
    table = pd.read_csv(tmp_path / f"{old.name}_csv" / "actions.csv")
    assert len(table) == 8 * len(FAKE.chunk_numbers())
    for column in ("chunk_id", "step_time", "validity", "robot_age"):
        assert table[column].isna().all()
    assert table["gripper"].notna().all()


def test_to_a_dataset_with_all_views_and_the_usual_rate(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, an extra, is not installed")
    assert main([str(old), "--to", "lerobot", "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("24 frames (LeRobot's: action chunks) of 10 Hz in 2 episode(s)")
    info = json.loads(
        (tmp_path / f"{old.name}_lerobot" / "meta/info.json").read_text(encoding="utf-8")
    )
    assert sum("images" in key for key in info["features"]) == 5

"""Exports of a bag: the same as of the recording that it was made of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_bag import write_bag
from fake_recording import FakeRecording

from vla_inference_ros.export.command import main
from vla_inference_ros.recording.recording import traffic
from vla_inference_ros.recording.run_reader import RunFolder

FAKE = FakeRecording(instructions=("one", "two"))


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(FAKE, tmp_path_factory.mktemp("bag") / "bag_20231114_221320")


def test_a_run_folder_of_it_has_all_that_was_sent(bag: Path, tmp_path: Path) -> None:
    assert main([str(bag), "--to", "run", "--output", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    run = RunFolder(folder)
    for one, other in zip(traffic(run), traffic(FAKE), strict=True):
        assert one.view == other.view
        assert one.received == pytest.approx(other.received, abs=1e-6)
        assert one.clock_offset == pytest.approx(other.clock_offset, abs=1e-6)
    for mine, sent in zip(run.frames(), FAKE.frames(), strict=True):
        assert mine.packet.jpeg == sent.packet.jpeg
        assert mine.packet.camera == sent.packet.camera
        assert mine.packet.timestamp == pytest.approx(sent.packet.timestamp, abs=1e-6)
    for state, given in zip(run.states(), FAKE.states(), strict=True):
        assert state.packet.joints == given.packet.joints
        np.testing.assert_allclose(state.packet.pose, given.packet.pose, rtol=2e-7)
    for read, batch in zip(run.samples(), FAKE.samples(), strict=True):
        np.testing.assert_array_equal(read.packet.force, batch.packet.force)
        np.testing.assert_array_equal(read.packet.ascan, batch.packet.ascan)
    (results,) = folder.glob("inference_results_*.json")
    for number, r in enumerate(json.load(results.open(encoding="utf-8"))):
        np.testing.assert_array_equal(np.array(r["actions"], np.float32), FAKE.actions(number))
        assert r["timestamp"] == pytest.approx(FAKE.chunk_time(number), abs=1e-6)


def test_tables_of_it(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(bag), "--to", "csv", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        f"{tmp_path / bag.name}_csv, rows: actions.csv 200, robot_state.csv 60, sensor.csv 180, "
        "frames.csv 75, features.csv 8\n"
    )
    table = pd.read_csv(tmp_path / f"{bag.name}_csv" / "features.csv")
    assert list(table["instruction"]) == [update.instruction for update in FAKE.features()]


def test_a_dataset_of_it_has_its_instructions(bag: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow, an extra, is not installed")
    assert main([str(bag), "--to", "lerobot", "--output", str(tmp_path)]) == 0
    folder = tmp_path / f"{bag.name}_lerobot"
    assert list(pd.read_parquet(folder / "meta/tasks.parquet").index) == ["one", "two"]
    info = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
    assert info["total_frames"] == len(FAKE.chunk_numbers())


def test_one_that_was_cut_off_is_exported_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(FakeRecording(seconds=30, jpeg_size=20_000), tmp_path / "bag")
    (file,) = bag.glob("*.mcap")
    os.truncate(file, file.stat().st_size // 2)
    (bag / "metadata.yaml").unlink()
    assert main([str(bag), "--to", "csv", "--output", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{bag} was not finished: what is there of it is exported\n")
    rows = len(pd.read_csv(tmp_path / "out" / "bag_csv" / "robot_state.csv"))
    assert 100 < rows < 600

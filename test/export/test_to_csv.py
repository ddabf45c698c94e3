"""``--to csv``, read with pandas."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_recording import OFFSET, POINTS, RATE, FakeRecording

from vla_inference_ros.export.new_folder import OutputError
from vla_inference_ros.export.to_csv import to_csv
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import RecordingError

FAKE = FakeRecording()
TABLES = ("actions.csv", "robot_state.csv", "sensor.csv", "frames.csv", "features.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("csv") / "fake_csv"
    to_csv(FAKE, made, None, with_ascans=False)
    return made


def test_it_says_how_many_rows_there_are(tmp_path: Path) -> None:
    made = tmp_path / "fake_csv"
    assert to_csv(FAKE, made, None, with_ascans=False) == [
        f"{made}, rows: actions.csv 200, robot_state.csv 60, sensor.csv 180, frames.csv 75, "
        "features.csv 8"
    ]
    assert {path.name for path in made.iterdir()} == set(TABLES)


def test_actions(folder: Path) -> None:
    table = pd.read_csv(folder / "actions.csv")
    count = len(FAKE.chunk_numbers())
    assert len(table) == 8 * count
    assert list(table["step"]) == list(range(8)) * count
    for number, chunk in table.groupby("chunk_id"):
        sent = FAKE.actions(int(str(number)) - 1)
        read = chunk[list(ACTION_NAMES)].to_numpy(np.float32)
        np.testing.assert_array_equal(read, sent)
        read = chunk[[f"delta_{name}" for name in ACTION_NAMES]].to_numpy(np.float32)
        np.testing.assert_array_equal(read, -sent)
        time = FAKE.chunk_time(int(str(number)) - 1)
        np.testing.assert_allclose(chunk["timestamp"], time, rtol=0, atol=1e-6)
        times = time + np.arange(8) / RATE
        np.testing.assert_allclose(chunk["step_time"], times, rtol=0, atol=1e-6)
    degraded = table[table["validity"] == "DEGRADED"]
    assert set(degraded["chunk_id"]) == {5, 10, 15, 20, 25}
    assert set(degraded["reasons"]) == {"old features; few samples"}
    assert set(degraded["valid_steps"]) == {4}
    assert set(table["vl_update_number"]) == set(range(1, 8))
    assert table["robot_age"].isna().all()  # this recording does not say


def test_robot_states(folder: Path) -> None:
    table = pd.read_csv(folder / "robot_state.csv")
    sent = list(FAKE.states())
    joints = np.array([each.packet.joints for each in sent], np.float32)
    read = table[[f"joint_{number}" for number in range(1, 7)]].to_numpy(np.float32)
    np.testing.assert_array_equal(read, joints)
    force = np.array([each.packet.force for each in sent], np.float32)
    np.testing.assert_array_equal(table["force_placeholder"].to_numpy(np.float32), force)
    received = [each.received for each in sent]
    np.testing.assert_allclose(table["recv_timestamp"], received, rtol=0, atol=1e-6)


def test_samples(folder: Path) -> None:
    table = pd.read_csv(folder / "sensor.csv")
    assert "ascan_0" not in table.columns
    sent = [each.packet for each in FAKE.samples()]
    force = np.concatenate([each.force for each in sent])
    np.testing.assert_array_equal(table["force"].to_numpy(np.float32), force)
    times = np.concatenate([each.times for each in sent]) + OFFSET
    np.testing.assert_allclose(table["timestamp"], times, rtol=0, atol=1e-6)


def test_samples_with_their_ascans(tmp_path: Path) -> None:
    fake = FakeRecording(seconds=0.5)
    to_csv(fake, tmp_path / "out", None, with_ascans=True)
    table = pd.read_csv(tmp_path / "out" / "sensor.csv")
    columns = [f"ascan_{point}" for point in range(POINTS)]
    sent = np.concatenate([each.packet.ascan for each in fake.samples()])
    np.testing.assert_array_equal(table[columns].to_numpy(np.float32), sent)


def test_frames(folder: Path) -> None:
    table = pd.read_csv(folder / "frames.csv")
    sent = list(FAKE.frames())
    assert list(table["view"]) == [each.view for each in sent]
    assert list(table["camera"]) == [each.packet.camera for each in sent]
    assert list(table["bytes"]) == [len(each.packet.jpeg) for each in sent]
    assert {(64, 48)} == set(zip(table["width"], table["height"], strict=True))
    times = [each.packet.timestamp + OFFSET for each in sent]
    np.testing.assert_allclose(table["timestamp"], times, rtol=0, atol=1e-6)


def test_features(folder: Path) -> None:
    table = pd.read_csv(folder / "features.csv")
    sent = list(FAKE.features())
    assert list(table["update_id"]) == [each.update_id for each in sent]
    assert set(table["instruction"]) == {"Touch the lens"}
    assert set(table["size"]) == {2048}
    for view in VIEWS:
        stamps = [each.view_stamps[view] for each in sent]
        np.testing.assert_allclose(table[f"{view}_timestamp"], stamps, rtol=0, atol=1e-6)


def test_what_was_not_recorded_is_an_empty_table(tmp_path: Path) -> None:
    fake = FakeRecording(seconds=0, instructions=())
    to_csv(fake, tmp_path / "out", None, with_ascans=False)
    for name in TABLES:
        assert len(pd.read_csv(tmp_path / "out" / name)) == 0


def test_a_view_without_a_column_costs_its_update_alone(tmp_path: Path) -> None:
    fake = FakeRecording(seconds=1, views=("View1", "wrist"))
    to_csv(fake, tmp_path / "out", None, with_ascans=False)
    assert "VLM update 1 used 'wrist', which is none of View1" in fake.odd.lines()[0]
    fake.odd = Odd(strict=True)
    with pytest.raises(RecordingError, match="VLM update 1 used 'wrist', which is none of View1"):
        to_csv(fake, tmp_path / "strict", None, with_ascans=False)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_text_is_a_formula(tmp_path: Path) -> None:
    formula = "=HYPERLINK(1)"
    fake = FakeRecording(seconds=1, instructions=(formula,))
    fake.results_extra = {
        "action_names": [f"{sign}{number}" for number, sign in enumerate("=+-@=+-")],
        "reasons": ["@SUM(1)"],
        "model_id": "\tcmd",
    }
    to_csv(fake, tmp_path / "out", None, with_ascans=False)
    for name in ("actions.csv", "features.csv", "frames.csv"):
        with (tmp_path / "out" / name).open(newline="", encoding="utf-8") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                assert not re.match(r"[=+@\t\r]|-(?!\d)", cell), (name, cell)
    text = (tmp_path / "out" / "actions.csv").read_text(encoding="utf-8")
    for shown in (f"'{formula}", "'=0", "'@SUM(1)", "'\tcmd"):
        assert shown in text


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="is there already, and nothing is overwritten"):
        to_csv(FAKE, tmp_path / "out", None, with_ascans=False)
    assert not list((tmp_path / "out").iterdir())

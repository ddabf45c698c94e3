"""``--to lerobot``: what stands in the files, and what the lerobot library makes of them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_recording import HEIGHT, WIDTH, FakeRecording

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.model.interface import ACTION_NAMES, DEFAULT_INSTRUCTION, VIEWS
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.traffic import Received

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, an extra, is not installed")

from vla_inference_ros.export import lerobot_files, lerobot_layout  # noqa: E402
from vla_inference_ros.export.to_lerobot import to_lerobot  # noqa: E402

HELD = frozenset({7, 8})
FAKE = FakeRecording(held=HELD, instructions=("one", "two", "three"))
READER = Path(__file__).parents[1] / "support" / "read_lerobot.py"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot") / "fake_lerobot"
    lines = to_lerobot(FAKE, folder, None, None)
    assert lines == [
        f"{folder}: 23 frames (LeRobot's: action chunks) of 10 Hz in 2 episode(s)",
        "a new episode after 1 gap(s) of more than 1.5 periods between action chunks",
    ]
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("data/*/*.parquet")):
        found += pq.read_table(path).to_pylist()
    return found


def episodes(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(
        folder / "meta/episodes/chunk-000/file-000.parquet"
    ).to_pylist()
    return found


def info(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "meta/info.json").read_text(encoding="utf-8"))
    return found


def test_the_files_are_those_of_the_format(dataset: Path) -> None:
    files = {str(path.relative_to(dataset)) for path in dataset.rglob("*") if path.is_file()}
    assert files == {
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
    }


def test_info(dataset: Path) -> None:
    found = info(dataset)
    assert found["codebase_version"] == "v3.0"
    assert (found["fps"], found["total_frames"], found["total_episodes"]) == (10, 23, 2)
    assert found["total_tasks"] == 3
    assert found["splits"] == {"train": "0:2"}
    features = found["features"]
    for number in range(1, 6):
        feature = features[f"observation.images.view{number}"]
        assert feature["dtype"] == "image"
        assert feature["shape"] == [HEIGHT, WIDTH, 3]
    assert features["observation.state"]["names"] == [f"joint_{n}_rad" for n in range(1, 7)]
    assert features["action"] == {
        "dtype": "float32",
        "shape": [7],
        "names": list(ACTION_NAMES),
    }
    assert features["action_chunk"]["shape"] == [8, 7]
    assert set(features) == set(rows(dataset)[0])


def test_a_row_is_what_was_known_at_its_chunk(dataset: Path) -> None:
    found = rows(dataset)
    numbers = FAKE.chunk_numbers()
    assert [row["chunk_id"] for row in found] == [number + 1 for number in numbers]
    for row, number in zip(found, numbers, strict=True):
        t = FAKE.chunk_time(number)
        assert row["recorded_at"] == t
        sent = FAKE.actions(number)
        np.testing.assert_array_equal(np.array(row["action_chunk"], np.float32), sent)
        np.testing.assert_array_equal(np.array(row["action"], np.float32), sent[0])
        state = [each for each in FAKE.states() if each.received <= t][-1].packet
        pose = np.array(state.pose)
        assert row["observation.state"] == pytest.approx(np.radians(state.joints))
        assert row["observation.pose"][:3] == pytest.approx(pose[:3] / 1000)
        assert row["observation.pose"][3:] == pytest.approx(np.radians(pose[3:]))
        assert row["observation.robot_force"] == pytest.approx(state.force)
        samples = [each for each in FAKE.samples() if each.received <= t][-1].packet
        assert row["observation.force"] == pytest.approx(samples.force[-1])
        frame = [each for each in FAKE.frames() if each.received <= t][-1]
        for view in VIEWS:
            assert row[f"observation.images.{view.lower()}"]["bytes"] == frame.packet.jpeg
        assert row["valid_steps"] == (4 if number % 5 == 4 else 8)


def test_episodes_end_at_gaps_and_times_follow_the_rate(dataset: Path) -> None:
    found = rows(dataset)
    assert [row["episode_index"] for row in found] == [0] * 7 + [1] * 16
    assert [row["frame_index"] for row in found] == [*range(7), *range(16)]
    assert [row["index"] for row in found] == list(range(23))
    times = [row["timestamp"] for row in found]
    np.testing.assert_allclose(times, [row["frame_index"] / 10 for row in found], atol=1e-6)
    first, second = episodes(dataset)
    assert (first["length"], first["dataset_from_index"], first["dataset_to_index"]) == (7, 0, 7)
    assert (second["length"], second["dataset_from_index"]) == (16, 7)
    assert (first["data/chunk_index"], first["data/file_index"]) == (0, 0)
    assert first["tasks"] == ["one"]
    assert second["tasks"] == ["two", "three"]
    assert second["stats/observation.state/count"] == [16]


def test_tasks_are_as_pandas_writes_them(dataset: Path) -> None:
    tasks = pd.read_parquet(dataset / "meta/tasks.parquet")
    assert dict(zip(tasks.index, tasks["task_index"], strict=True)) == {
        "one": 0,
        "two": 1,
        "three": 2,
    }
    said = {update.update_id: update.instruction for update in FAKE.features()}
    for row, number in zip(rows(dataset), FAKE.chunk_numbers(), strict=True):
        assert tasks.index[row["task_index"]] == said[number // 4 + 1]


def test_statistics(dataset: Path) -> None:
    found = json.loads((dataset / "meta/stats.json").read_text(encoding="utf-8"))
    assert set(found) == set(info(dataset)["features"])
    states = np.array([row["observation.state"] for row in rows(dataset)])
    of_state = found["observation.state"]
    np.testing.assert_allclose(of_state["mean"], states.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(of_state["q90"], np.quantile(states, 0.9, axis=0), rtol=1e-5)
    chunks = np.array([row["action_chunk"] for row in rows(dataset)])
    np.testing.assert_allclose(found["action_chunk"]["max"], chunks.max(axis=(0, 1)), rtol=1e-6)
    assert np.shape(found["observation.images.view1"]["mean"]) == (3, 1, 1)
    # A picture a second of each episode.
    assert found["observation.images.view1"]["count"] == [3]


def test_the_task_can_be_set(tmp_path: Path) -> None:
    to_lerobot(FakeRecording(seconds=1), tmp_path / "set", None, "Cut")
    assert list(pd.read_parquet(tmp_path / "set/meta/tasks.parquet").index) == ["Cut"]


def test_without_a_recorded_instruction_it_is_the_default_and_said(tmp_path: Path) -> None:
    lines = to_lerobot(FakeRecording(seconds=1, instructions=()), tmp_path / "out", None, None)
    assert f"frame(s) is the default instruction, {DEFAULT_INSTRUCTION!r}" in lines[1]
    tasks = pd.read_parquet(tmp_path / "out/meta/tasks.parquet")
    assert list(tasks.index) == [DEFAULT_INSTRUCTION]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    class Late(FakeRecording):
        def frames(self) -> Any:
            frames = [
                Received(
                    each.packet,
                    each.clock_offset,
                    each.received + (0.95 if each.view == "View4" else 0.0),
                    each.view,
                )
                for each in super().frames()
            ]
            return iter(sorted(frames, key=lambda frame: frame.received))

    lines = to_lerobot(Late(), tmp_path / "out", None, None)
    assert lines[0].endswith("20 frames (LeRobot's: action chunks) of 10 Hz in 1 episode(s)")
    assert lines[1:] == ["left out: 5 before the first picture of View4"]


@pytest.mark.parametrize(
    ("fake", "complaint"),
    [
        (FakeRecording(seconds=0.5), "holds no action chunk, so that there is no frame"),
        (
            FakeRecording(views=VIEWS[:4], results_extra={"view_timestamps": {}}),
            "gives no frame: 25 before the first picture of View5",
        ),
        (
            FakeRecording(results_extra={"view_timestamps": {"wrist": 1.0}}),
            "chunks were computed from 'wrist', which is none of View1",
        ),
    ],
)
def test_what_gives_no_dataset_is_said(fake: Any, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=complaint):
        to_lerobot(fake, tmp_path / "out", None, None)
    assert not list(tmp_path.iterdir())


def test_fewer_views_are_fewer_streams(tmp_path: Path) -> None:
    to_lerobot(FakeRecording(seconds=1, views=VIEWS[:2]), tmp_path / "out", None, None)
    streams = [key for key in info(tmp_path / "out")["features"] if "images" in key]
    assert streams == ["observation.images.view1", "observation.images.view2"]


def test_full_files_are_followed_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lerobot_layout, "DATA_FILE_MB", 0)
    monkeypatch.setattr(lerobot_layout, "FILES_IN_CHUNK", 2)
    fake = FakeRecording(held=frozenset({3, 8, 13, 14}))
    to_lerobot(fake, tmp_path / "out", None, None)
    files = sorted(
        str(path.relative_to(tmp_path / "out")) for path in tmp_path.glob("out/data/*/*")
    )
    assert files == [
        "data/chunk-000/file-000.parquet",
        "data/chunk-000/file-001.parquet",
        "data/chunk-001/file-000.parquet",
        "data/chunk-001/file-001.parquet",
    ]
    for number, episode in enumerate(episodes(tmp_path / "out")):
        place = (episode["data/chunk_index"], episode["data/file_index"])
        assert place == divmod(number, 2)
        path = f"data/chunk-{place[0]:03d}/file-{place[1]:03d}.parquet"
        (index,) = set(pq.read_table(tmp_path / "out" / path)["episode_index"].to_pylist())
        assert index == number


def test_groups_are_small_enough_to_be_read_at_once(dataset: Path) -> None:
    metadata = pq.read_metadata(dataset / "data/chunk-000/file-000.parquet")
    counts = [metadata.row_group(each).num_rows for each in range(metadata.num_row_groups)]
    assert sum(counts) == 23
    assert max(counts) <= lerobot_files._GROUP


def test_chunks_before_a_view_has_a_whole_picture_are_counted(tmp_path: Path) -> None:
    class Broken(FakeRecording):
        def frames(self) -> Any:
            for each in super().frames():
                packet = each.packet
                if each.view == "View1" and each.received < 1_700_000_000.7:
                    packet = CameraFrame("c", packet.timestamp, b"\xff\xd8\xff\xd9", WIDTH, HEIGHT)
                yield Received(packet, each.clock_offset, each.received, each.view)

    lines = to_lerobot(Broken(), tmp_path / "out", None, None)
    assert lines[-1] == "left out: 4 before the first whole picture of View1"


def lerobot_python() -> str | None:
    """An interpreter that has the lerobot library."""
    if given := os.environ.get("LEROBOT_PYTHON"):
        return given
    return sys.executable if importlib.util.find_spec("lerobot") else None


# The library cannot be installed beside this package's torch.
@pytest.mark.skipif(
    lerobot_python() is None,
    reason="needs the lerobot library, which wants an older torch than this environment's: "
    "LEROBOT_PYTHON names a Python that has it",
)
def test_the_lerobot_library_loads_it(dataset: Path, tmp_path: Path) -> None:
    python = lerobot_python()
    assert python is not None
    # The other interpreter must not see this environment's libraries.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [python, READER, dataset],
        env=kept | {"HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"lerobot {found['lerobot']}, format {found['codebase']}")
    numbers = FAKE.chunk_numbers()
    assert (found["fps"], found["frames"], found["episodes"]) == (10, 23, 2)
    assert found["cameras"] == [f"observation.images.view{number}" for number in range(1, 6)]
    assert found["shapes"]["observation.images.view5"] == [3, HEIGHT, WIDTH]
    assert found["shapes"]["action"] == [2, 7]  # it was asked for two steps in a row
    assert found["is_pad"] == [False, True]
    assert found["batches"] == [4, 4, 4, 4, 4, 3]
    said = {update.update_id: update.instruction for update in FAKE.features()}
    assert found["tasks"] == [said[number // 4 + 1] for number in numbers]
    sent = np.array([FAKE.actions(number) for number in numbers])
    np.testing.assert_array_equal(np.array(found["chunks"], np.float32), sent)
    np.testing.assert_array_equal(np.array(found["actions"], np.float32), sent[:, 0])
    known = rows(dataset)
    np.testing.assert_allclose(found["states"], [row["observation.state"] for row in known])
    np.testing.assert_allclose(found["forces"], [row["observation.force"] for row in known])
    assert set(found["statistics"]) == set(known[0])
    assert found["greatest"] == pytest.approx(100 / 255, abs=0.01)  # green, of 0 to 1
    assert found["subset"] == 7

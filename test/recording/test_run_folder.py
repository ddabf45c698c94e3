from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording import run_folder
from vla_inference_ros.recording.in_use import InUseError
from vla_inference_ros.recording.recover import NoRunFolderError, main, recover
from vla_inference_ros.recording.run_folder import RunWriter, folder_name, safe_name
from vla_inference_ros.recording.traffic import Received

START = 1_764_065_700.0
T = 1_700_000_000.25  # by the senders' clock
OFFSET = 1.5
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def frame(
    number: int = 0, camera: str = "zed_41182735_left", send_time: float | None = T + 0.5
) -> Received[CameraFrame]:
    jpeg = JPEG + number.to_bytes(4, "big")
    packet = CameraFrame(camera, T + number, jpeg, 8, 8, send_time)
    return Received(packet, OFFSET, T + number + 2.0, view="View1")


def state(number: int = 0) -> Received[RobotPacket]:
    packet = RobotPacket(
        T + number,
        T + number + 0.125,
        0.5,
        (1.25, -2.5, 3.0, 4.0, 5.0, -6.0),
        (100.5, -200.25, 300.0, 10.0, -20.0, 30.0),
    )
    return Received(packet, OFFSET, T + number + 2.0)


def samples(number: int = 0) -> Received[SensorDatagram]:
    times = T + number + np.arange(3) / 650
    ascan = np.random.default_rng(number).normal(size=(3, ASCAN_LENGTH)).astype(np.float32)
    return Received(SensorDatagram(times, times + 0.125, ascan[:, 1], ascan), OFFSET, T + 2.0)


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    return RunWriter(tmp_path, START)


def only(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    with only(folder, pattern).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def fill(writer: RunWriter) -> None:
    for number in range(5):
        writer.add_frame(frame(number))
        writer.add_state(state(number))
        writer.add_samples(samples(number))
        writer.add_result({"number": number})


def killed(writer: RunWriter) -> Path:
    """The folder as its recorder leaves it when it is killed: nobody holds its lock."""
    folder = writer.folder.parent / "killed"
    return Path(shutil.copytree(writer.folder, folder))


def assert_whole(folder: Path) -> None:
    """All that ``fill`` has put in, and nothing else."""
    stamp = folder_name(START).removeprefix("async_inference_")
    assert {path.name for path in folder.iterdir()} == {
        "View1",
        f"frames_{stamp}.csv",
        f"inference_results_{stamp}.json",
        f"robot_state_{stamp}.csv",
        f"sensor_data_{stamp}.npz",
    }
    names = [f"zed_41182735_left_{T + OFFSET + number:.6f}.jpg" for number in range(5)]
    assert sorted(path.name for path in (folder / "View1").iterdir()) == names
    for number, name in enumerate(names):
        assert (folder / "View1" / name).read_bytes() == frame(number).packet.jpeg
    assert len(rows(folder, "robot_state_*.csv")) == len(rows(folder, "frames_*.csv")) == 5
    results = json.loads(only(folder, "inference_results_*.json").read_text(encoding="utf-8"))
    assert results == [{"number": number} for number in range(5)]
    with np.load(only(folder, "sensor_data_*.npz")) as sensor:
        expected = np.concatenate([samples(number).packet.ascan for number in range(5)])
        np.testing.assert_array_equal(sensor["alines"], expected)
        received = [
            samples(number).received for number in range(5) for _ in samples(number).packet.times
        ]
        np.testing.assert_array_equal(sensor["recv_timestamps"], received)


def test_a_run_that_is_closed_has_the_complete_layout(writer: RunWriter) -> None:
    fill(writer)
    writer.close()
    assert_whole(writer.folder)


def test_a_run_that_is_not_closed_is_recovered(writer: RunWriter) -> None:
    fill(writer)
    (writer.folder / "View1" / "cut_off.jpg.part").write_bytes(JPEG[:10])
    folder = killed(writer)
    said = "\n".join(recover(folder))
    assert_whole(folder)
    for what in ("5 action chunks", "5 robot states", "5 pictures", "15 samples", "cut_off"):
        assert what in said


def test_a_run_that_is_still_written_is_left_alone(writer: RunWriter) -> None:
    fill(writer)
    with pytest.raises(InUseError, match="still being written: wait until its recorder has ended"):
        recover(writer.folder)
    writer.close()
    assert_whole(writer.folder)
    recover(writer.folder)


def test_recovering_a_complete_run_changes_nothing(writer: RunWriter) -> None:
    fill(writer)
    writer.close()
    before = {path: path.stat().st_mtime_ns for path in writer.folder.rglob("*")}
    recover(writer.folder)
    assert {path: path.stat().st_mtime_ns for path in writer.folder.rglob("*")} == before


def test_an_empty_run_is_recovered(writer: RunWriter) -> None:
    folder = killed(writer)
    said = recover(folder)
    assert json.loads(only(folder, "inference_results_*.json").read_text(encoding="utf-8")) == []
    assert [line.split(": ")[1] for line in said] == [
        "0 action chunks",
        "0 robot states",
        "0 pictures",
    ]


def test_the_robots_rows_are_what_was_sent_by_this_hosts_clock(writer: RunWriter) -> None:
    writer.add_state(state())
    writer.close()
    (row,) = rows(writer.folder, "robot_state_*.csv")
    assert list(row)[:4] == [
        "recv_timestamp",
        "origin_timestamp",
        "send_timestamp",
        "force_placeholder",
    ]
    assert {name: float(cell) for name, cell in row.items()} == {
        "recv_timestamp": T + 2.0,
        "origin_timestamp": T + OFFSET,
        "send_timestamp": T + 0.125 + OFFSET,
        "force_placeholder": 0.5,
        "joint_1": 1.25,
        "joint_2": -2.5,
        "joint_3": 3.0,
        "joint_4": 4.0,
        "joint_5": 5.0,
        "joint_6": -6.0,
        "pose_x": 100.5,
        "pose_y": -200.25,
        "pose_z": 300.0,
        "pose_a": 10.0,
        "pose_b": -20.0,
        "pose_r": 30.0,
        "clock_offset": OFFSET,
    }


def test_of_a_picture_its_row_tells_what_its_name_cannot(writer: RunWriter) -> None:
    writer.add_frame(frame(camera='../CAM "A",\n', send_time=None))
    writer.close()
    (row,) = rows(writer.folder, "frames_*.csv")
    assert (writer.folder / "View1" / row["file"]).is_file()
    assert row["camera"] == '../CAM "A", '
    assert row["send_timestamp"] == ""
    assert [float(row[name]) for name in ("recv_timestamp", "timestamp", "clock_offset")] == [
        T + 2.0,
        T + OFFSET,
        OFFSET,
    ]


@pytest.mark.parametrize(
    ("camera", "safe"),
    [
        ("zed_41182735_left", "zed_41182735_left"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "camera"),
        ("", "camera"),
        ("a/b\\c:d*e?f\0g\nh i", "a_b_c_d_e_f_g_h_i"),
        ("камера", "______"),
        ("x" * 5000, "x" * 100),
    ],
)
def test_camera_names_are_made_safe(camera: str, safe: str, writer: RunWriter) -> None:
    assert safe_name(camera) == safe
    writer.add_frame(frame(camera=camera))
    assert only(writer.folder, "View1/*.jpg").name == f"{safe}_{T + OFFSET:.6f}.jpg"


def test_two_pictures_of_one_name_are_both_kept(writer: RunWriter) -> None:
    writer.add_frame(frame(camera="a/b"))
    writer.add_frame(frame(camera="a_b"))
    writer.add_frame(frame(camera="a_b"))
    files = [row["file"] for row in rows(writer.folder, "frames_*.csv")]
    assert len(set(files)) == 3
    assert {path.name for path in (writer.folder / "View1").iterdir()} == set(files)


def test_a_picture_that_cannot_be_written_leaves_nothing(
    writer: RunWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, __: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        writer.add_frame(frame())
    assert not list((writer.folder / "View1").iterdir())
    assert not rows(writer.folder, "frames_*.csv")


def test_a_run_never_writes_into_another(writer: RunWriter, tmp_path: Path) -> None:
    fill(writer)
    other = RunWriter(tmp_path, START)
    assert other.folder == writer.folder.with_name(f"{writer.folder.name}_2")
    other.add_frame(frame())
    other.close()
    writer.close()
    assert_whole(writer.folder)


def test_what_is_no_run_folder_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoRunFolderError, match="has no inference_results_"):
        recover(tmp_path)
    assert main([str(tmp_path), str(tmp_path / "missing")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("vla-recover: ") for line in said] == [True, True]
    assert "missing is no folder" in said[1]


def test_the_command_tells_what_it_found(
    writer: RunWriter, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(writer)
    folder = killed(writer)
    assert main([str(folder)]) == 0
    assert "15 samples, finished now" in capsys.readouterr().out
    assert_whole(folder)

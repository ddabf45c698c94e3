"""What a recorder does not write into: another folder that has taken the name of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from bags import run_messages, write

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, SensorDatagram
from vla_inference_ros.recording import appending, mcap_file
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.own_folder import OwnFolder, in_words
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.traffic import Received

START = 1_764_065_700.0
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def by_link(taken: Path, foreign: Path) -> None:
    taken.symlink_to(foreign)


def by_folder(taken: Path, foreign: Path) -> None:
    foreign.rename(taken)


@pytest.fixture(params=[by_link, by_folder])
def replace(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], Path]:
    """Puts a folder of somebody else's in another's place; where that one is now."""

    def replace(path: Path) -> Path:
        foreign = tmp_path / "foreign"
        foreign.mkdir()
        (foreign / "precious").touch()
        moved = path.rename(tmp_path / "moved")
        request.param(path, foreign)
        return moved

    return replace


def fill(writer: RunWriter, first: int) -> None:
    """Three of each kind that has files of its own."""
    for number in range(first, first + 3):
        time = START + number
        frame = CameraFrame("zed", time, JPEG, 8, 8, None)
        writer.add_frame(Received(frame, 0.0, time, view="View1"))
        ascan = np.zeros((1, ASCAN_LENGTH), np.float32)
        times = np.array([time])
        writer.add_samples(Received(SensorDatagram(times, times, ascan[:, 0], ascan), 0.0, time))


def test_a_run_folder_that_is_replaced_is_finished_where_it_is(
    replace: Callable[[Path], Path], tmp_path: Path
) -> None:
    writer = RunWriter(tmp_path, START)
    fill(writer, 0)
    assert writer.is_there()
    moved = replace(writer.folder)
    fill(writer, 3)  # before anybody looks
    assert not writer.is_there()
    writer.close({"frames": "1 lost"})
    assert os.listdir(writer.folder) == ["precious"]
    assert len(list(moved.glob("View1/*.jpg"))) == 6
    assert len(list(moved.glob("lost_*.json"))) == 1
    (samples,) = moved.glob("sensor_data_*.npz")
    with np.load(samples) as saved:
        assert len(saved["timestamps"]) == 6


def test_a_bag_that_is_replaced_is_finished_where_it_is(
    replace: Callable[[Path], Path], tmp_path: Path
) -> None:
    writer = BagWriter(tmp_path / "bag", most_bytes=1_000_000)
    messages = list(run_messages())
    write(writer, messages)
    assert writer.is_there()
    moved = replace(writer.folder)
    write(writer, messages)
    assert not writer.is_there()
    writer.close()
    assert os.listdir(writer.folder) == ["precious"]
    assert (moved / "metadata.yaml").exists()
    assert len(list(open_recording(moved).results())) > 0


def test_pictures_do_not_go_where_their_view_is_replaced(
    replace: Callable[[Path], Path], tmp_path: Path
) -> None:
    writer = RunWriter(tmp_path, START)
    fill(writer, 0)
    replace(writer.folder / "View1")
    fill(writer, 3)
    assert not writer.is_there()
    writer.close()
    assert os.listdir(writer.folder / "View1") == ["precious"]


def test_a_link_is_no_view(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    (foreign := tmp_path / "foreign").mkdir()
    (writer.folder / "View1").symlink_to(foreign)
    with pytest.raises(OSError, match=r"View1"):
        fill(writer, 0)
    assert not os.listdir(foreign)
    writer.close()


def test_a_sensor_file_that_is_replaced_is_not_finished(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    fill(writer, 0)
    (part,) = writer.folder.glob("*.npz.part")
    part.rename(tmp_path / "moved")
    (foreign := tmp_path / "foreign").write_bytes(b"precious")
    part.symlink_to(foreign)
    with pytest.raises(FileNotFoundError):
        writer.close()
    assert foreign.read_bytes() == b"precious"


@pytest.mark.parametrize("broken", ["robot", "frames", "inference", "bag"])
def test_of_one_that_cannot_be_begun_nothing_is_left(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_new(path: Path) -> int:
        if path.name.startswith(broken):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)

    for module in (appending, mcap_file):
        monkeypatch.setattr(module, "open_new", open_new)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space left"):
        BagWriter(tmp_path / "bag") if broken == "bag" else RunWriter(tmp_path, START)
    assert os.listdir(tmp_path) == []
    assert os.listdir("/proc/self/fd") == before


def test_its_files_are_called_in_errors_as_people_know_them(tmp_path: Path) -> None:
    folder = OwnFolder(tmp_path)
    inner = folder.inner("View1")
    with pytest.raises(FileNotFoundError) as error:
        (inner.place / "picture.jpg").read_bytes()
    assert in_words(error.value) == "[Errno 2] No such file or directory: 'picture.jpg'"
    inner.close()
    folder.close()


def test_it_is_no_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(OSError, match="link"):
        OwnFolder(link)

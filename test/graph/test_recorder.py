"""The recorder, on topics that the test publishes, and killed in the middle of it."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Listener, ending_with, failed_start, problems, running
from recorded import (
    CAMERA,
    OFFSET,
    SAMPLES,
    START,
    STEP,
    TOPIC,
    Traffic,
    chunk,
    datagram,
    frame,
    kill_recorder,
    packet,
)

from vla_inference_ros import convert
from vla_inference_ros.recording.recover import recover

ROUNDS, SHORT_ROUNDS = 20, 1  # of killing; before another, the dead must be forgotten: 20 s
SEED = 61
KINDS = ("frames", "robot", "sensor", "results")


def run_folder(folder: Path) -> Path:
    (made,) = folder.glob("async_inference_*")
    return made


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def rows(folder: Path, pattern: str) -> list[dict[str, str]]:
    with only(folder, pattern).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def results(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        only(folder, "inference_results_*.json").read_text(encoding="utf-8")
    )
    return found


def saved(listener: Listener, kind: str, count: int) -> None:
    """Wait until so many things of a kind are with the disk."""
    listener.report("recorder", kind, lambda report: report.accepted >= count)


def assert_frames(folder: Path, count: int) -> None:
    """The first pictures; a recorder that was killed may not have come to noting the last."""
    pictures = {path.name: path for path in (folder / "View1").iterdir()}
    frames = rows(folder, "frames_*.csv")
    assert len(frames) == count
    assert len(pictures) - count in (0, 1)
    for number, row in enumerate(frames):
        sent = frame(number)
        assert sent.send_time is not None
        assert row["file"] == f"{CAMERA}_{sent.timestamp + OFFSET:.6f}.jpg"
        assert pictures[row["file"]].read_bytes() == sent.jpeg
        assert float(row["send_timestamp"]) == sent.send_time + OFFSET
        assert row["camera"] == CAMERA


def assert_states(folder: Path, count: int) -> None:
    states = rows(folder, "robot_state_*.csv")
    assert len(states) == count
    for number, row in enumerate(states):
        sent = packet(number)
        assert float(row["origin_timestamp"]) == sent.origin_time + OFFSET
        assert float(row["send_timestamp"]) == sent.send_time + OFFSET
        for name in ("joint_1", "joint_6"):
            assert np.float32(row[name]) == np.float32(sent.joints[0])
        for name in ("pose_x", "pose_r"):
            assert np.float32(row[name]) == np.float32(sent.pose[0])


def assert_samples(folder: Path, count: int) -> None:
    sent = [datagram(number) for number in range(count)]
    times = np.concatenate([each.times for each in sent]) + OFFSET
    with np.load(only(folder, "sensor_data_*.npz")) as sensor:
        np.testing.assert_allclose(sensor["timestamps"], times, rtol=0, atol=1e-6)
        np.testing.assert_allclose(sensor["send_timestamps"], times + 0.125, rtol=0, atol=1e-6)
        for name, column in (("forces", "force"), ("alines", "ascan")):
            expected = np.concatenate([getattr(each, column) for each in sent])
            np.testing.assert_array_equal(sensor[name], expected)


def assert_results(folder: Path, count: int) -> None:
    """As the users' readers take them."""
    found = results(folder)
    assert len(found) == count
    for number, result in enumerate(found):
        assert isinstance(result["timestamp"], float)
        assert result["timestamp"] == START + number * STEP
        actions = np.array(result["actions"])
        assert actions.shape == (8, 7)
        np.testing.assert_array_equal(actions.ravel(), chunk(number).actions)
        np.testing.assert_array_equal(np.ravel(result["delta"]), chunk(number).delta)
        assert result["vl_update_number"] == number // 4 + 1
        assert result["inference_time"] == pytest.approx(0.024)
        robot = result["robot_state"]
        assert robot["joints"] == list(packet(number).joints)
        assert robot["pose"] == list(packet(number).pose)
        assert robot["timestamp"] == packet(number).origin_time + OFFSET


def assert_holds(folder: Path, count: int) -> None:
    """A complete run folder with the first so many of each, as they were sent."""
    for check in (assert_frames, assert_states, assert_samples, assert_results):
        check(folder, count)


def test_what_is_published_is_saved(listener: Listener, tmp_path: Path) -> None:
    traffic = Traffic(listener)
    with running("recorder", output_dir=str(tmp_path)) as node:
        for _ in range(40):
            traffic()
            listener.spin_for(0.005)
        for kind, each in zip(KINDS, (1, 1, SAMPLES, 1), strict=True):
            saved(listener, kind, 40 * each)
    assert_holds(run_folder(tmp_path), 40)
    assert node.said("saved ")
    for line in ("40 pictures", "40 robot states", "120 sensor samples", "40 action chunks"):
        assert [said for said in node.lines if said.strip() == line], node.lines


def test_what_comes_right_before_the_end_is_saved(listener: Listener, tmp_path: Path) -> None:
    traffic = Traffic(listener)
    with running("recorder", output_dir=str(tmp_path)):
        for _ in range(90):  # as fast as it goes: nearly what the recorder's queues hold
            traffic()
        listener.wait_until_delivered()
    assert_holds(run_folder(tmp_path), 90)


def test_pictures_that_nothing_is_known_of_are_called_after_their_frame(
    listener: Listener, tmp_path: Path
) -> None:
    with running("recorder", output_dir=str(tmp_path)) as node:
        image = convert.compressed_image(frame(0), 0.0, "my camera/1")
        listener.deliver(image, TOPIC)
        saved(listener, "frames", 1)
    folder = run_folder(tmp_path)
    assert only(folder, "View1/*").name == f"my_camera_1_{START:.6f}.jpg"
    assert [row["camera"] for row in rows(folder, "frames_*.csv")] == ["my camera/1"]
    assert len(node.said("nothing is known of a picture of View1")) == 1


def test_a_view_that_is_told_of_and_not_heard_is_counted(
    listener: Listener, tmp_path: Path
) -> None:
    with ending_with(1, "recorder", output_dir=str(tmp_path)) as node:
        for number in range(3):
            image = convert.compressed_image(frame(number), OFFSET, "view1")
            listener.deliver(
                convert.frame_info(frame(number), OFFSET, image.header), "/camera/frame_info"
            )
            listener.spin_for(0.6)  # a picture may be late by a second
    assert node.said("frames: 1 picture(s) of view1 have not come, nor any later one")
    assert node.said("does not hold all that came: frames: 1 never came")


def test_on_a_full_disk_results_are_saved_and_the_rest_is_counted(
    listener: Listener, tmp_path: Path
) -> None:
    traffic = Traffic(listener)
    with ending_with(1, "recorder", output_dir=str(tmp_path), reserve_mb=1e9) as node:
        for _ in range(10):
            traffic()
        saved(listener, "results", 10)
        for kind in ("frames", "robot", "sensor"):
            report = listener.report("recorder", kind, lambda report: report.rejected == 10)
            assert problems(report) == {"dropped, full disk": 10}
            assert len(node.said(f"{kind}: only ")) == 1
    folder = run_folder(tmp_path)
    assert len(results(folder)) == 10
    assert not list(folder.glob("View*"))
    assert node.said("0 pictures, 10 dropped, full disk")
    assert node.said(
        f"{folder} does not hold all that came: frames: 10 dropped, full disk; robot: 10 dropped, "
        "full disk; sensor: 10 dropped, full disk"
    )


def test_what_does_not_fit_is_counted_and_the_rest_saved(
    listener: Listener, tmp_path: Path
) -> None:
    traffic = Traffic(listener)
    with ending_with(1, "recorder", output_dir=str(tmp_path)):
        traffic()
        broken = convert.compressed_image(frame(1), OFFSET, "view1")
        broken.data = broken.data[:10]
        listener.deliver(broken, TOPIC)
        batch = convert.sensor_batch(datagram(1), OFFSET, "sensor")
        batch.force = batch.force[:1]
        listener.deliver(batch, "/sensor/samples")
        for kind in ("frames", "sensor"):
            report = listener.report("recorder", kind, lambda report: report.rejected == 1)
            assert problems(report) == {"not fit to be saved": 1}
    assert_holds(run_folder(tmp_path), 1)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = failed_start("recorder", output_dir=str(tmp_path / "file"))
    assert "parameter 'output_dir': cannot make a run folder in" in line


@pytest.mark.long
def test_a_kill_loses_at_most_a_second(listener: Listener, tmp_path: Path, full: bool) -> None:
    moments = random.Random(SEED)
    for number in range(ROUNDS if full else SHORT_ROUNDS):
        listener.wait_until_alone()  # a recorder of before is no audience of this one's
        folder = tmp_path / str(number)
        safe, sent = kill_recorder(listener, "recorder", folder, moments)
        made = run_folder(folder)
        recover(made)
        with np.load(only(made, "sensor_data_*.npz")) as sensor:
            kept_samples = len(sensor["forces"]) // SAMPLES
        for check, kept in (
            (assert_frames, len(rows(made, "frames_*.csv"))),
            (assert_states, len(rows(made, "robot_state_*.csv"))),
            (assert_samples, kept_samples),
            (assert_results, len(results(made))),
        ):
            assert safe <= kept <= sent
            check(made, kept)

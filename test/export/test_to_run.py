"""``--to run``, and what the readers that users have make of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_recording import OFFSET, SAMPLES, FakeRecording, picture

from vla_inference_ros.core.wire import SensorDatagram
from vla_inference_ros.export.to_csv import to_csv
from vla_inference_ros.export.to_run import to_run
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import Recording, RecordingError, traffic
from vla_inference_ros.recording.run_folder import folder_name
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.traffic import Received

FAKE = FakeRecording()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run")
    to_run(FAKE, output, None)
    (folder,) = output.iterdir()
    return folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_it_is_named_after_the_recordings_start(run: Path) -> None:
    start = min(packet.received for packet in traffic(FAKE))
    assert run.name == folder_name(start)
    assert only(run, "inference_results_*.json").stem.endswith(run.name[-15:])


def test_the_users_reader_of_actions(run: Path) -> None:
    results = json.load(only(run, "inference_results_*.json").open(encoding="utf-8"))
    assert isinstance(results, list)
    assert len(results) == len(FAKE.chunk_numbers())
    for number, r in enumerate(results):
        actions = np.array(r["actions"])
        assert actions.shape == (8, 7)
        np.testing.assert_array_equal(actions.astype(np.float32), FAKE.actions(number))
        assert isinstance(r["timestamp"], float)
        assert r["timestamp"] == FAKE.chunk_time(number)


def test_pandas_reads_the_robot_states_as_they_were_sent(run: Path) -> None:
    table = pd.read_csv(only(run, "robot_state_*.csv"))
    sent = list(FAKE.states())
    assert len(table) == len(sent)
    joints = np.array([each.packet.joints for each in sent], np.float32)
    pose = np.array([each.packet.pose for each in sent], np.float32)
    read = table[[f"joint_{number}" for number in range(1, 7)]].to_numpy(np.float32)
    np.testing.assert_array_equal(read, joints)
    read = table[["pose_x", "pose_y", "pose_z", "pose_a", "pose_b", "pose_r"]].to_numpy(np.float32)
    np.testing.assert_array_equal(read, pose)
    times = [each.packet.origin_time + OFFSET for each in sent]
    np.testing.assert_allclose(table["origin_timestamp"], times, rtol=0, atol=1e-6)


def test_numpy_reads_the_samples_as_they_were_sent(run: Path) -> None:
    sent = [each.packet for each in FAKE.samples()]
    with np.load(only(run, "sensor_data_*.npz")) as sensor:
        for name, column in (("forces", "force"), ("alines", "ascan")):
            expected = np.concatenate([getattr(each, column) for each in sent])
            assert sensor[name].dtype == np.float32
            np.testing.assert_array_equal(sensor[name], expected)
        times = np.concatenate([each.times for each in sent]) + OFFSET
        np.testing.assert_allclose(sensor["timestamps"], times, rtol=0, atol=1e-6)


def test_the_pictures_are_the_bytes_that_came(run: Path) -> None:
    for view in FAKE.views:
        files = sorted((run / view).iterdir(), key=lambda path: path.name)
        assert [path.read_bytes() for path in files] == [picture(n) for n in range(len(files))]
    assert len(list(run.glob("View*/*.jpg"))) == len(list(FAKE.frames()))


def described(packet: Received[Any]) -> tuple[Any, ...]:
    """To six decimals, as times are saved."""
    times = (round(packet.received, 5), round(packet.clock_offset, 6), packet.view)
    return (*times, getattr(packet.packet, "jpeg", None), getattr(packet.packet, "joints", None))


def same(first: Recording, second: Recording) -> None:
    for one, other in zip(traffic(first), traffic(second), strict=True):
        assert described(one) == described(other)
    assert list(first.results()) == list(second.results())


def test_what_is_read_back_is_the_recording(run: Path) -> None:
    same(RunFolder(run), FAKE)
    assert sum(len(each.packet.times) for each in RunFolder(run).samples()) == SAMPLES * len(
        list(FAKE.samples())
    )


def test_a_run_folder_goes_to_another_place_or_under_the_next_name_beside_itself(
    run: Path, tmp_path: Path
) -> None:
    lines = to_run(RunFolder(run), tmp_path, None)
    copy = tmp_path / run.name
    assert lines == [f"{copy}: 75 pictures, 60 robot states, 60 sensor datagrams, 25 action chunks"]
    same(RunFolder(copy), FAKE)
    for path in run.rglob("*"):
        if path.is_file() and path.suffix != ".npz":
            assert (copy / path.relative_to(run)).read_bytes() == path.read_bytes()
    (line,) = to_run(RunFolder(copy), copy.parent, None)
    beside = copy.with_name(f"{copy.name}_2")
    assert line.startswith(f"{beside}: ")
    same(RunFolder(beside), FAKE)
    assert sorted(tmp_path.iterdir()) == [copy, beside]


def test_vlm_updates_are_said_to_be_left_out(tmp_path: Path) -> None:
    lines = to_run(FakeRecording(seconds=1), tmp_path, None)
    assert lines[1] == "left out: 3 VLM updates, which a run folder does not hold"
    other = to_run(FakeRecording(seconds=1, instructions=()), tmp_path / "other", None)
    assert len(other) == 1


def test_what_cannot_be_saved_is_left_out_and_named(tmp_path: Path) -> None:
    fake = FakeRecording(seconds=1, results_extra={"features_age": float("nan")})
    (done, *_) = to_run(fake, tmp_path, None)
    assert "0 action chunks" in done
    assert "action chunks of fake cannot be saved: Out of range" in fake.odd.lines()[0]
    shutil.rmtree(next(tmp_path.iterdir()))
    fake.odd = Odd(strict=True)
    with pytest.raises(RecordingError, match="action chunks of fake cannot be saved: Out of range"):
        to_run(fake, tmp_path, None)
    assert not list(tmp_path.iterdir())


def test_an_empty_recording_is_refused(tmp_path: Path) -> None:
    fake = FakeRecording(seconds=0, instructions=())
    with pytest.raises(RecordingError, match="holds nothing"):
        to_run(fake, tmp_path, None)


def test_ascans_of_another_length_are_named(tmp_path: Path) -> None:
    class Changed(FakeRecording):
        def samples(self) -> Iterator[Received[SensorDatagram]]:
            for number, each in enumerate(super().samples()):
                packet = each.packet
                if number == 5:
                    ascan = packet.ascan[:, :10]
                    packet = SensorDatagram(packet.times, packet.send_times, packet.force, ascan)
                yield Received(packet, each.clock_offset, each.received)

    strict = Changed(odd=Odd(strict=True))
    with pytest.raises(RecordingError, match="sensor datagrams of fake cannot be saved: A-scans"):
        to_run(strict, tmp_path, None)
    with pytest.raises(RecordingError, match="A-scans of 10 points follow such of 1025"):
        to_csv(strict, tmp_path / "csv", None, with_ascans=True)
    assert not list(tmp_path.iterdir())
    changed = Changed()
    to_run(changed, tmp_path / "run", None)
    assert "1 of exported things, does not fit: " in changed.odd.lines()[0]
    to_csv(Changed(), tmp_path / "csv", None, with_ascans=False)

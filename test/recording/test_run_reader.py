from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_run import CAMERAS, START, old_arrays, old_run
from recorded import JPEG, OFFSET, SAMPLES, STEP, datagram, frame, packet
from saved_run import COUNT, LATE, everything, only, written

from vla_inference_ros.core.wire import ASCAN_LENGTH, RobotPacket, SensorDatagram
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import (
    traffic,
)
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.traffic import Received


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def assert_close(times: Any, expected: Any) -> None:
    np.testing.assert_allclose(times, expected, rtol=0, atol=2e-6)


def assert_same_samples(found: SensorDatagram, expected: SensorDatagram) -> None:
    assert_close(found.times, expected.times)
    assert_close(found.send_times, expected.send_times)
    np.testing.assert_array_equal(found.force, expected.force)
    np.testing.assert_array_equal(found.ascan, expected.ascan)


def test_what_a_run_saved_is_read_back(folder: Path) -> None:
    run = open_recording(folder)
    assert isinstance(run, RunFolder)
    assert run.path == folder
    for number, got in enumerate(run.frames()):
        sent = frame(number)
        assert replace(got.packet, timestamp=0.0, send_time=None) == replace(
            sent, timestamp=0.0, send_time=None
        )
        assert_close(got.packet.timestamp, sent.timestamp)
        assert_close(got.packet.send_time, sent.send_time)
        assert got.view == f"View{number % 2 + 1}"
    for number, state in enumerate(run.states()):
        assert state.packet == packet(number)
    for number, samples in enumerate(run.samples()):
        assert_same_samples(samples.packet, datagram(number))
        assert not samples.packet.times.flags.writeable
        assert not samples.packet.ascan.flags.writeable
    streams: list[Iterator[Received[Any]]] = [run.frames(), run.states(), run.samples()]
    for stream in streams:
        received = list(stream)
        assert len(received) == COUNT
        expected = [packet(number).origin_time + OFFSET + LATE for number in range(COUNT)]
        assert_close([each.received for each in received], expected)
        assert {each.clock_offset for each in received} == {OFFSET}
    assert [result["number"] for result in run.results()] == list(range(COUNT))
    assert not list(run.features())


def test_numbers_keep_the_wire_s_precision(tmp_path: Path) -> None:
    random = np.random.default_rng(5).normal(size=13).astype(np.float32).tolist()
    sent = RobotPacket(START, START + 0.25, random[0], tuple(random[1:7]), tuple(random[7:]))
    writer = RunWriter(tmp_path, START)
    writer.add_state(Received(sent, OFFSET, START))
    writer.close()
    (state,) = RunFolder(writer.folder).states()
    assert state.packet.pack() == sent.pack()


def test_it_can_be_read_again(folder: Path) -> None:
    run = RunFolder(folder)
    first, second = run.samples(), run.samples()
    next(first)
    assert len(list(second)) == COUNT
    assert len(list(first)) == COUNT - 1


def test_streams_are_merged_by_the_time_of_receipt(folder: Path) -> None:
    received = [each.received for each in traffic(RunFolder(folder))]
    assert len(received) == 3 * COUNT
    assert received == sorted(received)


def test_pictures_that_a_recorder_noted_view_by_view_come_by_receipt(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    for view in range(2):
        for number in range(view, COUNT, 2):
            received = frame(number).timestamp + LATE
            writer.add_frame(Received(frame(number), 0.0, received, f"View{view + 1}"))
    writer.close()
    times = [each.packet.timestamp for each in RunFolder(writer.folder).frames()]
    assert times == [frame(number).timestamp for number in range(COUNT)]


def test_a_picture_without_a_send_time_has_none(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    writer.add_frame(Received(replace(frame(0), send_time=None), OFFSET, START, "View1"))
    writer.close()
    (got,) = RunFolder(writer.folder).frames()
    assert got.packet.send_time is None


@pytest.mark.parametrize("size", [1, SAMPLES, 7, 15])
def test_datagrams_come_as_they_were(tmp_path: Path, size: int) -> None:
    count = 300 // size  # more than is read at once, and no multiple of it
    writer = RunWriter(tmp_path, START)
    sent = []
    for number in range(count):
        times = START + (number * size + np.arange(size)) / 650
        ascan = np.full((size, ASCAN_LENGTH), number, np.float32)
        sent.append(SensorDatagram(times, np.full(size, times[-1]), ascan[:, 0], ascan))
        writer.add_samples(Received(sent[-1], OFFSET, float(times[-1]) + LATE))
    writer.close()
    got = list(RunFolder(writer.folder).samples())
    assert [len(each.packet.times) for each in got] == [size] * count
    for found, expected in zip(got, sent, strict=True):
        assert_same_samples(found.packet, expected)
        assert found.received == expected.times[-1] + LATE


def test_datagrams_of_one_moment_are_no_larger_than_what_can_be_sent(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    for number in range(3):
        times = START + (number * 15 + np.arange(15)) / 650
        ascan = np.zeros((15, ASCAN_LENGTH), np.float32)
        writer.add_samples(Received(SensorDatagram(times, times, ascan[:, 0], ascan), 0.0, START))
    writer.close()
    sizes = [len(each.packet.times) for each in RunFolder(writer.folder).samples()]
    assert sizes == [15] * 3


def test_a_long_run_is_never_held_whole(tmp_path: Path) -> None:
    folder = written(tmp_path, count=1200)
    size = only(folder, "*.npz").stat().st_size
    tracemalloc.start()
    try:
        assert sum(len(each.packet.times) for each in RunFolder(folder).samples()) == 1200 * SAMPLES
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 14e6
    assert peak < 6e6


def test_a_compressed_file_reads_the_same(folder: Path) -> None:
    path = only(folder, "*.npz")
    with np.load(path) as arrays:
        held = dict(arrays)
    path.unlink()
    np.savez_compressed(path, **held)
    for number, got in enumerate(RunFolder(folder).samples()):
        assert_same_samples(got.packet, datagram(number))
    assert number == COUNT - 1


def test_a_run_of_nothing_is_read(tmp_path: Path) -> None:
    run = RunFolder(written(tmp_path, count=0))
    assert not everything(run)


def test_results_of_other_writers_are_read(folder: Path) -> None:
    path = only(folder, "inference_results_*.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    lines = [json.dumps(result) for result in results]
    for text in (
        json.dumps(results),
        json.dumps(results, indent=2),
        "[\n" + ",\n".join(lines) + "]",
        "[\n\n" + ",\n\n".join(lines) + "\n\n]\n\n",
    ):
        path.write_text(text, encoding="utf-8")
        assert list(RunFolder(folder).results()) == results
    for text in ("[]", "[\n]\n", "[\n\n]"):
        path.write_text(text, encoding="utf-8")
        assert not list(RunFolder(folder).results())


# Folders of older receivers


def test_an_old_folder_is_read(tmp_path: Path) -> None:
    run = open_recording(old_run(tmp_path))
    frames = list(run.frames())
    assert [(each.packet.camera, each.view) for each in frames] == [
        (CAMERAS[view], view) for _ in range(3) for view in ("View1", "View5")
    ]
    for number, each in enumerate(frames):
        view, frame_number = number % 2, number // 2
        assert each.packet.jpeg == JPEG + bytes([view, frame_number])
        assert (each.packet.width, each.packet.height) == (8, 8)
        assert each.packet.timestamp == each.received == START + frame_number + view * 0.25
        assert each.clock_offset == 0.0
        assert each.packet.send_time is None
    states = list(run.states())
    assert [state.received for state in states] == [START + number + 0.02 for number in range(3)]
    assert states[2].packet.origin_time == START + 2
    assert states[2].packet.send_time == START + 2 + 0.01
    assert states[2].packet.joints == (1, 2, 3, 4, 5, 6)
    assert states[2].packet.pose == (float(np.float32(100.1)), 200, 300, 10, 20, 30)
    assert not list(run.samples())
    assert [result["timestamp"] for result in run.results()] == [START, START + 1, START + 2]


def test_old_samples_of_one_send_time_are_a_datagram(tmp_path: Path) -> None:
    sizes = [10, 15, 3, 15, 15] * 10
    sent = START + np.repeat(np.arange(len(sizes)), sizes)
    run = RunFolder(old_run(tmp_path, arrays=old_arrays(sum(sizes), sent)))
    got = list(run.samples())
    assert [len(each.packet.times) for each in got] == sizes
    assert [each.received for each in got] == [START + number for number in range(len(sizes))]
    assert {each.clock_offset for each in got} == {0.0}
    forces = np.concatenate([each.packet.force for each in got])
    np.testing.assert_array_equal(forces, np.arange(sum(sizes)))


def test_old_samples_that_were_sent_one_by_one_come_by_fifteen(tmp_path: Path) -> None:
    sent = START + np.arange(500) / 650
    run = RunFolder(old_run(tmp_path, arrays=old_arrays(500, sent)))
    got = list(run.samples())
    assert [len(each.packet.times) for each in got] == [15] * 33 + [5]
    assert [each.received for each in got] == [each.packet.send_times[-1] for each in got]


def test_a_datagram_never_goes_back_in_time(tmp_path: Path) -> None:
    arrays = old_arrays(12, np.full(12, START))
    arrays["timestamps"][5:] -= 1.0
    got = list(RunFolder(old_run(tmp_path, arrays=arrays)).samples())
    assert [len(each.packet.times) for each in got] == [5, 7]
    for each in got:
        SensorDatagram.unpack(each.packet.pack())


def test_old_arrays_of_other_kinds_are_brought_to_the_wire_s(tmp_path: Path) -> None:
    arrays = old_arrays(4, np.full(4, START))
    arrays["alines"] = arrays["alines"].astype(">f8")
    arrays["forces"] = arrays["forces"].astype(np.int64)
    (got,) = RunFolder(old_run(tmp_path, arrays=arrays)).samples()
    assert got.packet.ascan.dtype == got.packet.force.dtype == np.float32
    np.testing.assert_array_equal(got.packet.ascan[:, 7], np.arange(4))


def test_an_old_folder_without_a_sample_is_read(tmp_path: Path) -> None:
    arrays = {name: np.array([]) for name in old_arrays(0, np.array([]))}
    assert not list(RunFolder(old_run(tmp_path, arrays=arrays)).samples())


def test_times_are_those_of_the_sender(folder: Path) -> None:
    """Steps of less than a microsecond aside, which the files do not keep."""
    steps = np.diff([each.packet.origin_time for each in RunFolder(folder).states()])
    assert_close(steps, np.full(COUNT - 1, STEP))

from __future__ import annotations

import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_run import CAMERAS, STAMP, START, old_arrays, old_run
from recorded import JPEG, OFFSET, SAMPLES, STEP, datagram, frame, packet

from vla_inference_ros.core.wire import ASCAN_LENGTH, RobotPacket, SensorDatagram
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import (
    Recording,
    RecordingError,
    traffic,
)
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder, is_run_folder
from vla_inference_ros.recording.traffic import Received

COUNT = 12
LATE = 0.75  # from acquisition to receipt, by the two clocks [s]


def written(parent: Path, count: int = COUNT, close: bool = True) -> Path:
    writer = RunWriter(parent, START)
    for number in range(count):
        received = frame(number).timestamp + OFFSET + LATE
        view = f"View{number % 2 + 1}"
        writer.add_frame(Received(frame(number), OFFSET, received, view))
        writer.add_state(Received(packet(number), OFFSET, received))
        writer.add_samples(Received(datagram(number), OFFSET, received))
        writer.add_result({"number": number, "actions": [[1.5] * 7] * 8})
    if close:
        writer.close()
    return writer.folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def everything(recording: Recording) -> list[object]:
    return [*traffic(recording), *recording.results(), *recording.features()]


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
    results = json.loads(path.read_text())
    lines = [json.dumps(result) for result in results]
    for text in (
        json.dumps(results),
        json.dumps(results, indent=2),
        "[\n" + ",\n".join(lines) + "]",
        "[\n\n" + ",\n\n".join(lines) + "\n\n]\n\n",
    ):
        path.write_text(text)
        assert list(RunFolder(folder).results()) == results
    for text in ("[]", "[\n]\n", "[\n\n]"):
        path.write_text(text)
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


# Damage


def test_only_a_run_folder_is_one(tmp_path: Path, folder: Path) -> None:
    assert is_run_folder(folder)
    assert not is_run_folder(tmp_path)
    assert not is_run_folder(only(folder, "*.npz"))
    assert not is_run_folder(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RecordingError, match="empty is no run folder: it has no inference_results"):
        RunFolder(empty)
    with pytest.raises(RecordingError, match=r"neither a bag .* nor a run folder"):
        open_recording(empty)


def test_an_unfinished_folder_asks_for_recovery(tmp_path: Path) -> None:
    folder = written(tmp_path, close=False)
    with pytest.raises(RecordingError, match=f"`vla-recover {re.escape(str(folder))}`"):
        RunFolder(folder)


def cut(pattern: str, part: float) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = next(folder.glob(pattern))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    return damage


def edited(pattern: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = next(folder.glob(pattern))
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return damage


def picture(data: bytes | None) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = sorted((folder / "View2").iterdir())[1]
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return damage


def arrays(change: Callable[[dict[str, np.ndarray[Any, Any]]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = only(folder, "*.npz")
        with np.load(path) as held:
            changed = dict(held)
        change(changed)
        path.unlink()
        np.savez(path, **changed)

    return damage


def flipped_bit(folder: Path) -> None:
    path = only(folder, "*.npz")
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    path.write_bytes(data)


def no_array(folder: Path) -> None:
    path = only(folder, "*.npz")
    with np.load(path) as held:
        names = [name for name in held if name != "forces"]
        kept = {name: held[name] for name in names}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in kept.items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(f"{name}.npy", stream.getvalue())
        archive.writestr("forces.npy", b"no array at all")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated NPZ": (cut("*.npz", 0.5), r"sensor_data_\S+ is damaged: .*not a zip"),
    "NPZ of nothing": (cut("*.npz", 0.0), r"sensor_data_\S+ is damaged"),
    "a changed bit in the NPZ": (flipped_bit, r"sensor_data_\S+ is damaged: Bad CRC"),
    "no array in the NPZ": (no_array, r"sensor_data_\S+ is damaged: .*magic"),
    "NPZ without forces": (arrays(lambda a: a.pop("forces")), r"sensor_data_\S+ lacks forces"),
    "NPZ of unequal lengths": (
        arrays(lambda a: a.update(forces=a["forces"][:-1])),
        r"forces has the shape \(35,\), but there are 36 timestamps",
    ),
    "flat A-scans": (
        arrays(lambda a: a.update(alines=a["forces"])),
        r"alines has the shape \(36,\)",
    ),
    "A-scans by column": (
        arrays(lambda a: a.update(alines=np.asfortranarray(a["alines"]))),
        "alines is stored column by column.*ascontiguousarray",
    ),
    "text in the NPZ": (
        arrays(lambda a: a.update(forces=a["forces"].astype("U8"))),
        "forces holds <U8, not numbers",
    ),
    "NaN for a time": (
        arrays(lambda a: a["timestamps"].__setitem__(7, np.nan)),
        "sample 7 has nan for its time",
    ),
    "no column in the CSV": (
        edited("robot_state_*.csv", "joint_3,", "joint_x,"),
        r"robot_state_\S+ lacks the column\(s\) joint_3$",
    ),
    "no column in the list of pictures": (
        edited("frames_*.csv", "clock_offset,view", "offset,view"),
        r"frames_\S+ lacks the column\(s\) clock_offset$",
    ),
    "an empty CSV": (cut("robot_state_*.csv", 0.0), r"robot_state_\S+ lacks the column"),
    "no number in a cell": (
        edited("robot_state_*.csv", ",-1,", ",minus one,"),
        r"robot_state_\S+, line 3: pose_x is 'minus one', which is no number",
    ),
    "NaN in a cell": (
        edited("robot_state_*.csv", ",-1,", ",nan,"),
        r"line 3: pose_x is 'nan', which is no number",
    ),
    "too large a number": (
        edited("robot_state_*.csv", ",-1,", ",1e300,"),
        r"line 3: a number is too large for a robot's packet",
    ),
    "a cut off line": (
        cut("robot_state_*.csv", 0.97),
        r"robot_state_\S+, line 13: \d+ cells, not 17.*`vla-recover`",
    ),
    "a cut off quotation": (
        cut("frames_*.csv", 0.998),
        r"frames_\S+, line 13: unexpected end of data.*`vla-recover`",
    ),
    "no text": (
        lambda folder: only(folder, "frames_*.csv").write_bytes(b"\xff\xfe\0"),
        r"frames_\S+ is no text in UTF-8",
    ),
    "a missing picture": (
        picture(None),
        r"frames_\S+, line 5 names \S+View2/zed_\S+\.jpg, which cannot be read: No such file",
    ),
    "an empty picture": (picture(b""), r"line 5 names \S+\.jpg: the JPEG is empty"),
    "no JPEG": (picture(b"\x89PNG\r\n"), r"line 5 names \S+\.jpg: not a JPEG"),
    "half a JPEG": (picture(JPEG[:100]), r"line 5 names \S+\.jpg: JPEG of 100 bytes has no end"),
    "JSON that is cut off": (
        cut("*.json", 0.52),
        r"inference_results_\S+, line \d+ is no whole JSON list: .*`vla-recover`",
    ),
    "JSON without an end": (
        edited("*.json", "\n]\n", "\n"),
        r"inference_results_\S+ is no whole JSON list: the list has no end",
    ),
    "JSON of nothing": (cut("*.json", 0.0), r"inference_results_\S+ is no whole JSON list"),
    "JSON without a comma": (
        edited("*.json", '},\n{"number": 5', '}\n{"number": 5'),
        r"line 7 is no whole JSON list: there is no comma before it",
    ),
    "JSON that goes on": (
        edited("*.json", "\n]\n", "\n]\n{}\n"),
        r"line 15 is no whole JSON list: something follows",
    ),
    "a number among the chunks": (
        edited("*.json", '{"number": 5', '3,\n{"number": 5'),
        r"inference_results_\S+, line 7 is no JSON object",
    ),
    "no list": (
        lambda folder: only(folder, "*.json").write_text('{"a": 1}'),
        r"inference_results_\S+ holds no list",
    ),
    "a list of numbers": (
        lambda folder: only(folder, "*.json").write_text("[1, 2]"),
        r"inference_results_\S+, entry 0 is no JSON object",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(folder: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(RecordingError, match=message) as caught:
        everything(RunFolder(folder))
    assert "\n" not in str(caught.value)


def test_an_old_picture_s_name_must_tell_its_time(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    (folder / "View1" / "picture.jpg").write_bytes(JPEG)
    with pytest.raises(RecordingError, match=r"picture\.jpg: without a frames_\*\.csv"):
        list(RunFolder(folder).frames())


def test_an_old_picture_that_is_empty_is_named(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    path = folder / "View5" / f"{CAMERAS['View5']}_{START + 0.25:.6f}.jpg"
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match=f"{re.escape(str(path))}: the JPEG is empty"):
        list(RunFolder(folder).frames())


def test_a_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    (folder / f"robot_state_{STAMP}.csv").unlink()
    (folder / f"robot_state_{STAMP}.csv").mkdir()
    with pytest.raises(RecordingError, match=r"cannot read .*robot_state_\S+: Is a directory"):
        list(RunFolder(folder).states())


def test_times_are_those_of_the_sender(folder: Path) -> None:
    """Steps of less than a microsecond aside, which the files do not keep."""
    steps = np.diff([each.packet.origin_time for each in RunFolder(folder).states()])
    assert_close(steps, np.full(COUNT - 1, STEP))

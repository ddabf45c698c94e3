"""A run folder whose files may grow no more: when the next ones are begun, and who reads them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from limited import in_child
from recorded import datagram
from saved_run import COUNT, everything, written

from vla_inference_ros.core.wire import SensorDatagram
from vla_inference_ros.recording import appending, sensor_file
from vla_inference_ros.recording.appending import JsonListFile, LineFile, write_all
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.run_folder import FRAMES, RESULTS, ROBOT, SENSOR, RunWriter
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.series import Series
from vla_inference_ros.recording.traffic import Received

START = 1_764_065_700.0
SPLIT = 40_000  # of a file: three datagrams, all else is smaller [bytes]
SMALL = 1500  # for all else [bytes]
COUNT_OF_MANY = 40  # so that there are more files than ten


def numbers(folder: Path, pattern: str) -> list[int]:
    """Those of a kind's files, the first of which has none."""
    stems = [path.stem.split("_") for path in folder.glob(pattern)]
    return sorted(int(parts[-1]) if len(parts[-1]) < 6 else 0 for parts in stems)


def assert_same(folder: Path, other: Path) -> None:
    found, expected = everything(RunFolder(folder)), everything(RunFolder(other))
    assert list(map(comparable, found)) == list(map(comparable, expected))


def comparable(thing: object) -> object:
    if not isinstance(thing, Received):
        return thing
    packet = thing.packet
    if isinstance(packet, SensorDatagram):
        arrays = packet.times, packet.send_times, packet.force, packet.ascan
        packet = [array.tolist() for array in arrays]
    return packet, thing.clock_offset, thing.received, thing.view


def test_no_file_is_larger_than_asked_for_and_all_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(tmp_path / "whole", COUNT_OF_MANY)
    for kinds, most in (((SENSOR,), SPLIT), ((ROBOT, FRAMES, RESULTS), SMALL)):
        monkeypatch.setattr(RunWriter.__init__, "__defaults__", (most,))
        if SENSOR not in kinds:  # a datagram is more than such a file has
            monkeypatch.setattr(RunWriter, "add_samples", lambda *_: None)
        folder = written(tmp_path / str(most), COUNT_OF_MANY)
        for kind in kinds:
            found = numbers(folder, kind)
            assert found == list(range(len(found)))
            assert len(found) > 2, kind
            assert all(path.stat().st_size <= most for path in folder.glob(kind))
        if SENSOR in kinds:
            assert_same(folder, whole)
        else:
            assert list(RunFolder(folder).results()) == list(RunFolder(whole).results())
            for read in (RunFolder.states, RunFolder.frames):
                expected = map(comparable, read(RunFolder(whole)))
                assert list(map(comparable, read(RunFolder(folder)))) == list(expected)


def test_what_the_process_may_not_write_into_one_file_goes_into_more(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    assert in_child(SPLIT, lambda: written(tmp_path / "limited")) == 0
    folder = tmp_path / "limited" / whole.name
    assert len(numbers(folder, SENSOR)) > 3
    assert_same(folder, whole)


def test_what_the_file_system_does_not_take_goes_into_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = written(tmp_path / "whole")

    def write(descriptor: int, data: bytes) -> None:
        room = SPLIT - os.lseek(descriptor, 0, os.SEEK_CUR)
        write_all(descriptor, data[:room])
        if len(data) > room:
            raise OSError(errno.EFBIG, "File too large")

    for module in (appending, sensor_file):
        monkeypatch.setattr(module, "write_all", write)
    folder = written(tmp_path / "limited")
    assert len(numbers(folder, SENSOR)) > 3
    assert_same(folder, whole)


def test_a_killed_recorders_files_are_all_completed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of which the last alone is not finished."""
    whole = written(tmp_path / "whole")

    def record() -> None:
        writer_folder = written(tmp_path / "killed", close=False)
        assert writer_folder.exists()

    assert in_child(SPLIT, record) == 0
    folder = tmp_path / "killed" / whole.name
    assert len(list(folder.glob("*.npz.part"))) == 1
    assert main([str(folder)]) == 0
    assert "samples, finished now" in capsys.readouterr().out
    assert_same(folder, whole)


def test_an_entry_that_no_file_may_hold_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    series = Series(tmp_path / "list.json", lambda path: JsonListFile(path, 100))
    for number in range(6):
        series.append({"number": number, "text": "x" * 30})
        with pytest.raises(OSError, match="File too large"):
            series.append({"text": "x" * 100})
    series.close()
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(tmp_path.iterdir())]
    assert [entry["number"] for entries in found for entry in entries] == list(range(6))
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())


def test_on_a_disk_without_place_for_the_next_file_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = Series(tmp_path / "lines.csv", lambda path: LineFile(path, "heading", 20))
    series.append("1" * 10)

    def full(_: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(appending, "write_all", full)
        for _ in range(3):
            with pytest.raises(OSError, match="No space"):
                series.append("2" * 10)
    series.append("2" * 10)
    series.close()
    lines = [path.read_text(encoding="utf-8").split() for path in sorted(tmp_path.iterdir())]
    assert lines == [["heading", "1" * 10], ["heading", "2" * 10]]


def test_a_former_file_that_could_not_be_finished_is_told_in_the_end(tmp_path: Path) -> None:
    class Unfinished(JsonListFile):
        def close(self) -> None:
            super().close()
            if self._path.stem == "list":
                raise OSError(errno.EFBIG, "File too large")

    series = Series(tmp_path / "list.json", lambda path: Unfinished(path, 60))
    for number in range(3):
        series.append({"text": f"{number}" * 30})
    with pytest.raises(OSError, match="File too large"):
        series.close()
    assert len(list(tmp_path.iterdir())) == 3


def test_what_is_lost_is_said_in_a_file(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, START)
    writer.add_samples(Received(datagram(0), 0.0, START))
    writer.close({"frames": "12 dropped, full disk"})
    (path,) = writer.folder.glob("lost_*.json")
    assert json.loads(path.read_text(encoding="utf-8")) == {"frames": "12 dropped, full disk"}
    assert len(list(RunFolder(writer.folder).samples())) == 1
    assert main([str(writer.folder)]) == 0


def test_nothing_lost_needs_no_file(tmp_path: Path) -> None:
    assert list(written(tmp_path, COUNT).glob("lost_*")) == []

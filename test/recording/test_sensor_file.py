from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.recording import sensor_file
from vla_inference_ros.recording.appending import write_all
from vla_inference_ros.recording.recover_sensor import recover_sensor_file
from vla_inference_ros.recording.sensor_file import COLUMNS, PART, SensorFile

POINTS = 1025
T = 1_700_000_000.25


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sensor_data_20261125_101500.npz"


def batches(
    count: int, points: int = POINTS
) -> list[
    tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]
]:
    source = np.random.default_rng(count)
    made = []
    for number in range(count):
        samples = int(source.integers(1, 16))
        times = T + number + np.arange(samples) / 650
        ascan = source.normal(size=(samples, points)).astype(np.float32)
        made.append((times, times + 0.05, ascan[:, 0].copy(), ascan))
    return made


def assert_holds(path: Path, *given: tuple[NDArray[np.generic], ...]) -> None:
    """As a user reads it."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None  # the checksums are right
    with np.load(path) as found:
        assert sorted(found) == [
            "alines",
            "clock_offsets",
            "forces",
            "recv_timestamps",
            "send_timestamps",
            "timestamps",
        ]
        for name, column in (
            ("timestamps", 0),
            ("send_timestamps", 1),
            ("forces", 2),
            ("alines", 3),
        ):
            expected = np.concatenate([batch[column] for batch in given])
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)
        assert (found["clock_offsets"] == 1.5).all()
        assert (found["recv_timestamps"] == T + 2).all()


def write(path: Path, count: int) -> tuple[SensorFile, list[tuple[NDArray[np.generic], ...]]]:
    file, given = SensorFile(path, POINTS), batches(count)
    for batch in given:
        file.append(*batch, 1.5, T + 2)
    return file, list(given)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_what_was_written_is_read_by_numpy(path: Path, count: int) -> None:
    file, given = write(path, count)
    assert not path.exists()  # a name without .part is that of a whole file
    file.close()
    assert_holds(path, *given)
    assert list(path.parent.iterdir()) == [path]


def test_a_file_without_samples_has_empty_arrays(path: Path) -> None:
    SensorFile(path, POINTS).close()
    with np.load(path) as found:
        assert found["alines"].shape == (0, POINTS)
        assert found["timestamps"].shape == (0,)


@pytest.mark.parametrize("count", [1, 20])
def test_a_file_that_was_never_closed_is_recovered(path: Path, count: int) -> None:
    _, given = write(path, count)
    assert recover_sensor_file(path).samples == sum(len(batch[0]) for batch in given)
    assert_holds(path, *given)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("of", ["the samples", "the columns"])
def test_a_sample_that_was_cut_off_is_left_out(path: Path, of: str) -> None:
    _, given = write(path, 5)
    cut = path.with_name(path.name + (PART if of == "the samples" else ".rows" + PART))
    cut.write_bytes(cut.read_bytes()[:-1])
    last = [column[:-1] for column in given[-1]]
    assert recover_sensor_file(path).samples == sum(len(batch[0]) for batch in given) - 1
    assert_holds(path, *given[:-1], tuple(last))


def test_a_kill_while_it_is_finished_is_recovered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, given = write(path, 5)
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        file.close()
    monkeypatch.undo()
    assert recover_sensor_file(path).samples == sum(len(batch[0]) for batch in given)
    assert_holds(path, *given)


def test_what_was_left_after_it_was_finished_is_removed(path: Path) -> None:
    file, given = write(path, 2)
    file.close()
    rows = path.with_name(path.name + ".rows" + PART)
    rows.write_bytes(b"old")
    recover_sensor_file(path)
    assert_holds(path, *given)
    assert not rows.exists()


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_file_that_was_cut_off_before_its_first_sample_is_removed(path: Path, size: int) -> None:
    write(path, 0)
    part = path.with_name(path.name + PART)
    part.write_bytes(part.read_bytes()[:size])
    assert recover_sensor_file(path).samples == 0
    assert not list(path.parent.iterdir())


def test_what_cannot_be_written_leaves_the_file_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, given = write(path, 3)
    calls = 0

    def full(descriptor: int, data: bytes) -> None:
        nonlocal calls
        calls += 1
        write_all(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sensor_file, "write_all", full)
    (more,) = batches(1)
    with pytest.raises(OSError, match="No space left"):
        file.append(*more, 1.5, T + 2)
    assert calls == 1
    monkeypatch.undo()
    file.append(*more, 1.5, T + 2)
    file.close()
    assert_holds(path, *given, more)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_file_that_cannot_be_begun_can_be_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, attempt: int
) -> None:
    calls = 0

    def full(descriptor: int, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == attempt:
            raise OSError(28, "No space left on device")
        write_all(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(sensor_file, "write_all", full)
        with pytest.raises(OSError, match="No space left"):
            SensorFile(path, POINTS)
    assert not list(path.parent.iterdir())
    file, given = write(path, 2)
    file.close()
    assert_holds(path, *given)


def test_another_number_of_points_is_refused(path: Path) -> None:
    file, given = write(path, 2)
    (other,) = batches(1, points=512)
    with pytest.raises(ValueError, match=r"512\), not .* of 1025 points"):
        file.append(*other, 1.5, T)
    file.close()
    assert_holds(path, *given)


def parts(path: Path) -> tuple[Path, Path]:
    return path.with_name(path.name + PART), path.with_name(path.name + ".rows" + PART)


def zero_rows(path: Path, first: int, end: int) -> None:
    """As a power cut leaves a journal's blocks."""
    with parts(path)[1].open("r+b") as file:
        file.seek(4 + first * COLUMNS.itemsize)
        file.write(bytes((end - first) * COLUMNS.itemsize))


def joined(given: list[tuple[NDArray[np.generic], ...]]) -> list[NDArray[np.generic]]:
    return [np.concatenate([batch[column] for batch in given]) for column in range(4)]


def test_zeros_at_a_journals_end_are_no_samples_of_1970(path: Path) -> None:
    _, given = write(path, 20)
    columns = joined(given)
    count = len(columns[0])
    zero_rows(path, count - 7, count)
    found = recover_sensor_file(path)
    assert (found.samples, found.damaged, found.kept) == (count - 7, 7, ())
    assert_holds(path, tuple(column[:-7] for column in columns))
    assert list(path.parent.iterdir()) == [path]


def test_zeros_in_a_journals_middle_cost_their_samples_alone(path: Path) -> None:
    _, given = write(path, 20)
    columns = joined(given)
    before = [each.read_bytes() for each in parts(path)]
    zero_rows(path, 10, 15)
    found = recover_sensor_file(path)
    assert (found.samples, found.damaged) == (len(columns[0]) - 5, 5)
    assert_holds(path, tuple(np.delete(column, slice(10, 15), axis=0) for column in columns))
    part, journal = (path.with_name(name) for name in found.kept)
    assert part.read_bytes() == before[0]
    assert len(journal.read_bytes()) == len(before[1])
    assert str(found) == (
        f"{found.samples} samples, finished now, 5 damaged ones left out; what was there is kept "
        f"as {part.name} and {journal.name}"
    )


def test_a_journal_whose_beginning_is_lost_does_not_cost_the_samples(path: Path) -> None:
    _, given = write(path, 20)
    journal = parts(path)[1]
    journal.write_bytes(bytes(4) + journal.read_bytes()[4:])
    assert recover_sensor_file(path).samples == len(joined(given)[0])
    assert_holds(path, *given)


def test_what_cannot_be_used_is_kept(path: Path) -> None:
    write(path, 20)
    before = [each.read_bytes() for each in parts(path)]
    parts(path)[1].write_bytes(before[1][:3])  # no row of it reached the disk
    found = recover_sensor_file(path)
    assert found.samples == 0
    (kept,) = found.kept
    assert path.with_name(kept).read_bytes() == before[0]
    assert not list(path.parent.glob(f"*{PART}"))


def test_samples_of_which_the_journal_knows_nothing_are_kept_aside(path: Path) -> None:
    _, given = write(path, 20)
    columns = joined(given)
    before = parts(path)[0].read_bytes()
    journal = parts(path)[1]
    journal.write_bytes(journal.read_bytes()[: 4 + 30 * COLUMNS.itemsize])
    found = recover_sensor_file(path)
    assert found.samples == 30
    assert_holds(path, tuple(column[:30] for column in columns))
    (kept,) = found.kept
    assert before.endswith(path.with_name(kept).read_bytes())
    assert path.with_name(kept).stat().st_size == (len(columns[0]) - 30) * POINTS * 4


def test_a_journal_of_zeros_costs_no_a_scans(path: Path) -> None:
    write(path, 20)
    journal = parts(path)[1]
    before = parts(path)[0].read_bytes()
    journal.write_bytes(bytes(journal.stat().st_size))
    found = recover_sensor_file(path)
    assert found.samples == 0
    assert found.damaged > 0
    assert path.with_name(found.kept[0]).read_bytes() == before
    assert not list(path.parent.glob(f"*{PART}"))

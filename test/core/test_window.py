from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.window import SensorWindow, WindowSnapshot

LENGTH, POINTS, RATE = 65, 4, 650.0
START = 1.7e9


def samples(
    first: int, count: int
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Samples numbered from ``first``; each says its number in all that it has."""
    numbers = np.arange(first, first + count)
    force = numbers.astype(np.float32)
    ascan = (1000 * numbers[:, None] + np.arange(POINTS)).astype(np.float32)
    return START + numbers / RATE, force, ascan


def assert_holds(snapshot: WindowSnapshot, numbers: range) -> None:
    """The newest rows are the samples with these numbers, and the rows before them are zero."""
    times, force, ascan = samples(numbers.start, len(numbers))
    empty = LENGTH - len(numbers)
    assert snapshot.values.shape == (LENGTH, 1 + POINTS)
    assert snapshot.values.dtype == np.float32
    np.testing.assert_array_equal(snapshot.values[empty:, 0], force)
    np.testing.assert_array_equal(snapshot.values[empty:, 1:], ascan)
    assert not snapshot.values[:empty].any()
    assert snapshot.samples == len(numbers)
    assert (snapshot.first_time, snapshot.last_time) == (times[0], times[-1])


@pytest.fixture
def window() -> SensorWindow:
    return SensorWindow(LENGTH, 1 + POINTS, RATE)


def test_an_empty_window_is_all_zero_and_all_missing(window: SensorWindow) -> None:
    snapshot = window.snapshot()
    assert not snapshot.values.any()
    assert (snapshot.samples, snapshot.missing) == (0, LENGTH)
    assert (snapshot.first_time, snapshot.last_time) == (0.0, 0.0)
    assert window.samples == 0


@pytest.mark.parametrize("count", [1, 15, 64, 65])
def test_samples_fill_it_from_the_back(window: SensorWindow, count: int) -> None:
    window.append(*samples(100, count))
    snapshot = window.snapshot()
    assert_holds(snapshot, range(100, 100 + count))
    assert snapshot.missing == LENGTH - count
    assert window.samples == count


@pytest.mark.parametrize("batch", [1, 7, 13, 15, 64, 65])
def test_it_always_holds_the_newest_samples(window: SensorWindow, batch: int) -> None:
    for first in range(0, 5 * LENGTH, batch):
        window.append(*samples(first, batch))
        end = first + batch
        assert_holds(window.snapshot(), range(max(0, end - LENGTH), end))


@pytest.mark.parametrize("before", [0, 10, 65, 70])
@pytest.mark.parametrize("count", [66, 130, 131, 1000])
def test_of_a_batch_larger_than_it_the_newest_stay(
    window: SensorWindow, before: int, count: int
) -> None:
    if before:
        window.append(*samples(0, before))
    window.append(*samples(before, count))
    snapshot = window.snapshot()
    assert_holds(snapshot, range(before + count - LENGTH, before + count))
    assert snapshot.missing == 0


def test_an_empty_batch_changes_nothing(window: SensorWindow) -> None:
    window.append(*samples(0, 70))
    window.append(*samples(70, 0))
    assert_holds(window.snapshot(), range(5, 70))


def test_gaps_are_counted_by_the_samples_they_lack(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    window.append(*samples(45, 20))  # one datagram of 15 was lost
    window.append(*samples(66, 15))  # and one sample
    snapshot = window.snapshot()
    assert (snapshot.samples, snapshot.missing) == (65, 16)


def test_empty_rows_and_gaps_are_missing_together(window: SensorWindow) -> None:
    window.append(*samples(0, 10))
    window.append(*samples(25, 10))
    assert window.snapshot().missing == (LENGTH - 20) + 15


def test_a_gap_is_forgotten_when_it_has_left_the_window(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    window.append(*samples(60, LENGTH - 1))
    assert window.snapshot().missing == 30  # between the oldest sample and the next
    window.append(*samples(60 + LENGTH - 1, 1))
    assert window.snapshot().missing == 0


def test_a_sender_a_little_off_its_nominal_rate_has_no_gaps(window: SensorWindow) -> None:
    times, force, ascan = samples(0, LENGTH)
    for factor in (0.9, 1.1):
        window.append(START + (times - START) * factor, force, ascan)
        assert window.snapshot().missing == 0


def test_repeated_and_reordered_times_are_no_negative_gaps(window: SensorWindow) -> None:
    times, force, ascan = samples(0, LENGTH)
    window.append(np.full(LENGTH, START), force, ascan)
    assert window.snapshot().missing == 0
    window.append(times[::-1], force, ascan)
    assert window.snapshot().missing == 0


def test_a_clock_that_was_set_far_gives_a_number_that_a_message_can_hold(
    window: SensorWindow,
) -> None:
    times, force, ascan = samples(0, LENGTH)
    times[30:] += 3e8
    window.append(times, force, ascan)
    assert window.snapshot().missing == 2**32 - 1


def test_another_ascan_length_is_refused_and_changes_nothing(window: SensorWindow) -> None:
    window.append(*samples(0, 70))
    times, force, _ = samples(70, 3)
    with pytest.raises(ValueError, match="A-scan has 5 points, the window takes 4"):
        window.append(times, force, np.zeros((3, 5), np.float32))
    assert_holds(window.snapshot(), range(5, 70))


def test_a_snapshot_is_its_owners_copy(window: SensorWindow) -> None:
    window.append(*samples(0, LENGTH))
    snapshot = window.snapshot()
    window.append(*samples(LENGTH, 20))
    assert_holds(snapshot, range(LENGTH))
    snapshot.values[:] = -1.0
    assert_holds(window.snapshot(), range(20, 20 + LENGTH))


def test_the_appended_arrays_stay_their_owners(window: SensorWindow) -> None:
    times, force, ascan = samples(0, LENGTH)
    window.append(times, force, ascan)
    times[:], force[:], ascan[:] = 0.0, -1.0, -1.0
    assert_holds(window.snapshot(), range(LENGTH))


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads give way to each other as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_a_snapshot_during_appends_is_of_one_instant(window: SensorWindow) -> None:
    done = threading.Event()

    def append() -> None:
        for first in range(0, 13 * 1000, 13):
            window.append(*samples(first, 13))
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    while not done.is_set():
        snapshot = window.snapshot()
        if snapshot.samples:
            newest = int(snapshot.values[-1, 0])
            assert newest % 13 == 12  # only whole batches
            assert_holds(snapshot, range(newest + 1 - snapshot.samples, newest + 1))
            assert snapshot.missing == LENGTH - snapshot.samples
    thread.join()
    assert_holds(window.snapshot(), range(13_000 - LENGTH, 13_000))

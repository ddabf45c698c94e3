from __future__ import annotations

import numpy as np
import pytest
from window_samples import (
    HISTORY,
    LENGTH,
    POINTS,
    RATE,
    START,
    Batch,
    assert_holds,
    counts,
    samples,
    samples_of,
)

from vla_inference_ros.core.window import SensorWindow


@pytest.fixture
def window() -> SensorWindow:
    return SensorWindow(LENGTH, 1 + POINTS, RATE)


def test_overtaken_samples_are_put_in_their_place(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    window.append(*samples(45, 15))
    assert_holds(window.snapshot(), range(30), range(45, 60))
    window.append(*samples(30, 15))
    assert_holds(window.snapshot(), range(60))
    window.append(*samples(60, 15))
    assert_holds(window.snapshot(), range(10, 75))
    assert counts(window) == (15, 0, 0)


def test_only_samples_that_came_after_a_newer_one_count_as_reordered(window: SensorWindow) -> None:
    window.append(*samples_of(np.array([0, 1, 4, 5])))
    window.append(*samples_of(np.array([2, 3, 6, 7])))
    assert_holds(window.snapshot(), range(8))
    assert counts(window) == (2, 0, 0)
    window.append(*samples_of(np.array([10, 8, 11, 9])))
    assert_holds(window.snapshot(), range(12))
    assert counts(window) == (4, 0, 0)


def test_samples_of_one_time_stay_in_the_order_in_which_they_came(window: SensorWindow) -> None:
    window.append(*samples(0, 10))
    window.append(*samples(20, 10))
    for first in (10, 15):
        _, force, ascan = samples(first, 5)
        window.append(np.full(5, START + 19 / RATE), force, ascan)
    np.testing.assert_array_equal(window.snapshot().values[-30:, 0], range(30))
    assert counts(window) == (10, 0, 0)


def test_a_repeated_datagram_is_dropped(window: SensorWindow) -> None:
    window.append(*samples(0, 15))
    window.append(*samples(0, 15))
    window.append(*samples(15, 15))
    window.append(*samples(0, 15))
    window.append(*samples(10, 25))
    assert_holds(window.snapshot(), range(35))
    assert counts(window) == (0, 15 + 15 + 20, 0)


def test_a_sample_twice_in_one_batch_is_a_duplicate(window: SensorWindow) -> None:
    window.append(*samples_of(np.array([0, 1, 1, 2, 0])))
    assert_holds(window.snapshot(), range(3))
    assert counts(window) == (0, 2, 0)


def test_duplicates_of_samples_that_have_left_the_window_are_recognised(
    window: SensorWindow,
) -> None:
    window.append(*samples(0, HISTORY))
    window.append(*samples(0, 15))
    assert_holds(window.snapshot(), range(HISTORY - LENGTH, HISTORY))
    assert counts(window) == (0, 15, 0)


@pytest.mark.parametrize("column", ["force", "ascan"])
def test_samples_of_one_time_that_differ_in_a_bit_are_both_kept(
    window: SensorWindow, column: str
) -> None:
    batch = Batch(np.array([START]), np.zeros(1, np.float32), np.zeros((1, POINTS), np.float32))
    other = Batch(*(array.copy() for array in batch))
    getattr(other, column).flat[-1] = -0.0
    window.append(*batch)
    window.append(*other)
    assert window.samples == 2
    window.append(*batch)
    window.append(*other)
    assert window.samples == 2
    assert counts(window) == (0, 2, 0)


def test_a_duplicate_that_is_not_a_number_is_one_still(window: SensorWindow) -> None:
    times, force, ascan = samples(0, 1)
    ascan[0, 1] = np.nan
    window.append(times, force, ascan)
    window.append(times, force, ascan)
    assert (window.samples, counts(window)) == (1, (0, 1, 0))


@pytest.mark.parametrize(
    ("later", "duplicates"), [(0.5e-6, 1), (-0.5e-6, 1), (3e-6, 0), (-3e-6, 0)]
)
def test_a_microsecond_tells_one_sample_from_another(
    window: SensorWindow, later: float, duplicates: int
) -> None:
    times, force, ascan = samples(0, 1)
    window.append(times, force, ascan)
    window.append(times + later, force, ascan)
    assert window.snapshot().duplicates == duplicates
    assert window.samples == 2 - duplicates


@pytest.mark.parametrize("correction", [0.002, -0.002, 0.05, 0.5])
def test_duplicates_are_known_by_the_senders_time(window: SensorWindow, correction: float) -> None:
    times, force, ascan = samples(0, 15)
    window.append(times, force, ascan, 3.0)
    window.append(times + correction, force, ascan, 3.0 + correction)
    assert (window.samples, counts(window)) == (15, (0, 15, 0))


def test_duplicates_from_before_the_senders_clock_was_set_back_are_known(
    window: SensorWindow,
) -> None:
    times, force, ascan = samples(0, 15)
    window.append(times, force, ascan, 3.0)
    window.append(*samples(15, 15), 53.0)
    window.append(times + 50.0, force, ascan, 53.0)
    assert_holds(window.snapshot(), range(30))
    assert counts(window) == (0, 15, 0)


def test_like_samples_of_one_time_here_are_two_if_the_sender_says_so(window: SensorWindow) -> None:
    times, force, ascan = samples(0, 1)
    window.append(times, force, ascan, 3.0)
    window.append(times, force, ascan, -7.0)
    assert (window.samples, counts(window)) == (2, (0, 0, 0))


@pytest.mark.parametrize("correction", [0.002, -0.002, 0.02, -0.02])
def test_a_corrected_clock_offset_moves_the_kept_samples_too(
    window: SensorWindow, correction: float
) -> None:
    for first, offset in ((0, 3.0), (15, 3.0 + correction), (30, 3.0 + correction)):
        times, force, ascan = samples(first, 15)
        window.append(times + offset, force, ascan, offset)
    snapshot = window.snapshot()
    np.testing.assert_array_equal(snapshot.values[-45:, 0], range(45))
    assert (snapshot.samples, snapshot.gaps) == (45, 0)
    assert counts(window) == (0, 0, 0)
    assert snapshot.first_time == pytest.approx(START + 3.0 + correction, abs=1e-6)


@pytest.mark.parametrize("step", [-3600.0, -0.5, 0.5, 3600.0])
def test_when_this_hosts_clock_was_set_the_kept_samples_go_along(
    window: SensorWindow, step: float
) -> None:
    window.append(*samples(0, 15), 3.0)
    window.append(*samples(15, 0), 3.0 + step)
    times, force, ascan = samples(15, 15)
    window.append(times + step, force, ascan, 3.0 + step)
    snapshot = window.snapshot()
    np.testing.assert_array_equal(snapshot.values[-30:, 0], range(30))
    assert (snapshot.samples, snapshot.gaps, counts(window)) == (30, 0, (0, 0, 0))
    assert snapshot.first_time == pytest.approx(START + step, abs=1e-6)


def test_a_senders_clock_that_was_set_leaves_the_kept_samples(window: SensorWindow) -> None:
    window.append(*samples(0, 15), 3.0)
    window.append(*samples(15, 15), -500.0)
    window.append(*samples(30, 15), 0.0)
    assert_holds(window.snapshot(), range(45))
    assert counts(window) == (0, 0, 0)


def test_samples_older_than_a_full_history_are_dropped_as_late(window: SensorWindow) -> None:
    window.append(*samples(20, HISTORY))
    window.append(*samples(5, 15))
    assert_holds(window.snapshot(), range(20 + HISTORY - LENGTH, 20 + HISTORY))
    assert counts(window) == (0, 0, 15)
    window.append(*samples(5, 20))  # only what is kept can be known again
    assert counts(window) == (0, 5, 30)


def test_while_the_history_has_room_no_sample_is_late(window: SensorWindow) -> None:
    window.append(*samples(20, HISTORY - 15))
    window.append(*samples(0, 15))
    window.append(*samples(0, 15))
    assert counts(window) == (15, 15, 0)
    window.append(*samples_of(np.array([16])))  # goes in for sample 0, which is out
    window.append(*samples(0, 2))  # sample 1 is known
    assert counts(window) == (16, 16, 1)


@pytest.mark.parametrize(("older", "restarts"), [(0.99, False), (1.01, True), (1e6, True)])
def test_a_batch_a_second_older_than_the_newest_sample_starts_it_over(
    window: SensorWindow, older: float, restarts: bool
) -> None:
    times, force, ascan = samples(0, 30)
    window.append(times, force, ascan)
    window.append(times[10:20] - times[19] + times[-1] - older, force[10:20], ascan[10:20])
    snapshot = window.snapshot()
    assert snapshot.values[-1, 0] == (19 if restarts else 29)
    assert snapshot.samples == (10 if restarts else 30)
    assert counts(window) == (0 if restarts else 10, 0, 0)


def test_a_stamp_from_the_far_future_blocks_nothing(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    _, force, ascan = samples(30, 15)
    window.append(np.full(15, START + 1e9), force, ascan)
    assert window.snapshot().last_time == START + 1e9
    np.testing.assert_array_equal(np.flatnonzero(window.snapshot().mask), range(50, 65))
    window.append(*samples(0, 30))  # duplicates only
    assert window.snapshot().last_time == START + 1e9
    window.append(*samples(45, 15))
    assert_holds(window.snapshot(), range(45, 60))
    assert counts(window) == (0, 30, 0)

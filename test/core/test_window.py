from __future__ import annotations

import random
from bisect import bisect_left, bisect_right

import numpy as np
import pytest
from numpy.typing import NDArray
from window_samples import (
    LENGTH,
    POINTS,
    RATE,
    START,
    assert_holds,
    counts,
    row_of,
    samples,
    samples_of,
)

from vla_inference_ros.core.window import FILLS, SensorWindow


@pytest.fixture
def window() -> SensorWindow:
    return SensorWindow(LENGTH, 1 + POINTS, RATE)


def test_an_empty_window_is_all_zero_and_all_missing(window: SensorWindow) -> None:
    snapshot = window.snapshot()
    assert snapshot.values.shape == (LENGTH, 1 + POINTS)
    assert not snapshot.values.any()
    assert not snapshot.mask.any()
    assert (snapshot.samples, snapshot.missing, snapshot.gaps) == (0, LENGTH, 0)
    assert (snapshot.first_time, snapshot.last_time, snapshot.span) == (0.0, 0.0, 0.0)
    assert window.samples == 0
    assert counts(window) == (0, 0, 0)


@pytest.mark.parametrize("count", [1, 15, 64, 65])
def test_samples_fill_it_from_the_back(window: SensorWindow, count: int) -> None:
    window.append(*samples(100, count))
    assert_holds(window.snapshot(), range(100, 100 + count))
    assert window.samples == count
    assert window.snapshot().span == pytest.approx((count - 1) / RATE, abs=1e-6)


@pytest.mark.parametrize("batch", [1, 7, 13, 15, 64, 65, 130])
def test_it_always_holds_the_newest_samples(window: SensorWindow, batch: int) -> None:
    for first in range(0, 10 * LENGTH, batch):  # longer than its buffer
        window.append(*samples(first, batch))
        end = first + batch
        assert_holds(window.snapshot(), range(max(0, end - LENGTH), end))
    assert counts(window) == (0, 0, 0)


@pytest.mark.parametrize("before", [0, 10, 65, 70])
@pytest.mark.parametrize("count", [66, 130, 131, 1000])
def test_of_a_batch_larger_than_it_the_newest_stay(
    window: SensorWindow, before: int, count: int
) -> None:
    if before:
        window.append(*samples(0, before))
    window.append(*samples(before, count))
    assert_holds(window.snapshot(), range(before + count - LENGTH, before + count))
    assert counts(window) == (0, 0, 0)


def test_an_empty_batch_changes_nothing(window: SensorWindow) -> None:
    window.append(*samples(70, 0))
    window.append(*samples(0, 70))
    window.append(*samples(70, 0))
    assert_holds(window.snapshot(), range(5, 70))


def test_lost_samples_leave_their_rows_empty(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    window.append(*samples(45, 10))  # one datagram of 15 was lost
    window.append(*samples(56, 9))  # and one sample
    assert_holds(window.snapshot(), range(30), range(45, 55), range(56, 65))


def test_a_gap_leaves_the_window_with_its_samples(window: SensorWindow) -> None:
    window.append(*samples(0, 30))
    window.append(*samples(45, 30))
    assert_holds(window.snapshot(), range(10, 30), range(45, 75))
    window.append(*samples(75, 19))
    assert_holds(window.snapshot(), range(29, 30), range(45, 94))
    window.append(*samples(94, 1))
    assert_holds(window.snapshot(), range(45, 95))
    assert window.samples == 50


def test_rows_between_samples_are_filled_as_asked() -> None:
    seen = {}
    for fill in FILLS:
        window = SensorWindow(LENGTH, 1 + POINTS, RATE, fill)
        window.append(*samples(20, 10))
        window.append(*samples_of(np.array([34])))
        window.append(*samples(36, 10))
        snapshot = window.snapshot()
        np.testing.assert_array_equal(
            snapshot.values[snapshot.mask, 0], [*range(20, 30), 34, *range(36, 46)]
        )
        assert (snapshot.samples, snapshot.missing, snapshot.gaps) == (21, LENGTH - 21, 2)
        assert not snapshot.values[: LENGTH - 26].any()
        seen[fill] = snapshot.values[[-17, -16, -15, -14, -13, -11]]
    for fill, forces in {
        "zero": [29, 0, 0, 0, 0, 0],
        "hold_last": [29, 29, 29, 29, 29, 34],
        "interpolate": [29, 30, 31, 32, 33, 35],
    }.items():
        expected = [row_of(number) if number else np.zeros(1 + POINTS) for number in forces]
        np.testing.assert_allclose(seen[fill], expected, rtol=1e-6)


@pytest.mark.parametrize("fill", FILLS)
def test_rows_before_its_oldest_sample_are_zero(fill: str) -> None:
    window = SensorWindow(LENGTH, 1 + POINTS, RATE, fill)
    window.append(*samples(1, 30))
    assert_holds(window.snapshot(), range(1, 31))
    window.append(*samples(46, 55))  # sample 30 falls out, a gap behind it
    assert_holds(window.snapshot(), range(46, 101))


@pytest.mark.parametrize("factor", [0.9, 0.97, 1.03, 1.1])
def test_a_sender_a_little_off_its_nominal_rate_has_no_gaps(
    window: SensorWindow, factor: float
) -> None:
    times, force, ascan = samples(0, LENGTH)
    window.append(START + (times - START) * factor, force, ascan)
    assert (window.samples, window.snapshot().gaps) == (LENGTH, 0)


@pytest.mark.parametrize(("periods", "rows"), [(0.0, 1), (0.4, 1), (1.4, 1), (1.6, 2), (16.4, 16)])
def test_a_time_between_samples_is_rounded_to_rows(
    window: SensorWindow, periods: float, rows: int
) -> None:
    _, force, ascan = samples(1, 2)
    window.append(np.array([START, START + periods / RATE]), force, ascan)
    np.testing.assert_array_equal(np.flatnonzero(window.snapshot().mask), [64 - rows, 64])


def test_a_sensor_that_stamps_in_bursts_has_no_gaps_but_lost_bursts(window: SensorWindow) -> None:
    for first in (0, 15, 30, 60, 75):
        _, force, ascan = samples(first, 15)
        window.append(np.full(15, START + first / RATE), force, ascan)
    snapshot = window.snapshot()
    np.testing.assert_array_equal(
        snapshot.values[:, 0], [*range(25, 45), *np.zeros(15), *range(60, 90)]
    )
    assert (snapshot.samples, snapshot.gaps) == (50, 1)
    assert counts(window) == (0, 0, 0)


def test_a_full_window_spans_what_it_should(window: SensorWindow) -> None:
    assert window.snapshot().nominal_span == 0.0
    window.append(*samples(0, 40))
    window.append(*samples(45, 40))
    snapshot = window.snapshot()
    assert snapshot.nominal_span == pytest.approx(64 / RATE)
    assert snapshot.span == pytest.approx(64 / RATE, abs=1e-6)
    assert snapshot.crowded == 0


@pytest.mark.parametrize("behind", [0.02, 0.0505, 0.08])
def test_two_sensors_give_a_window_that_is_too_short_or_crowded(
    window: SensorWindow, behind: float
) -> None:
    for first in range(0, 300, 15):
        times, force, ascan = samples(first, 15)
        window.append(times - behind, force, ascan)
        window.append(times, force, ascan)
        snapshot = window.snapshot()
        if first > 150:
            assert snapshot.samples == LENGTH
            assert snapshot.span < 0.93 * snapshot.nominal_span


def test_a_run_of_stamps_that_is_a_little_late_makes_no_gap(window: SensorWindow) -> None:
    times, force, ascan = samples(0, LENGTH)
    times[30:40] += 0.7 / RATE
    window.append(times, force, ascan)
    np.testing.assert_array_equal(window.snapshot().values[:, 0], range(LENGTH))
    assert (window.snapshot().samples, window.snapshot().gaps) == (LENGTH, 0)


def test_another_ascan_length_is_refused_and_changes_nothing(window: SensorWindow) -> None:
    window.append(*samples(0, 70))
    times, force, _ = samples(70, 3)
    with pytest.raises(ValueError, match="A-scan has 5 points, the window takes 4"):
        window.append(times, force, np.zeros((3, 5), np.float32))
    assert_holds(window.snapshot(), range(5, 70))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_time_that_is_not_finite_is_refused_and_changes_nothing(
    window: SensorWindow, bad: float
) -> None:
    window.append(*samples(0, 70))
    times, force, ascan = samples(70, 3)
    times[1] = bad
    with pytest.raises(ValueError, match=f"sample 1 of 3 has time {bad} s"):
        window.append(times, force, ascan)
    with pytest.raises(ValueError, match=f"clock offset {bad} s, not a finite one"):
        window.append(*samples(70, 3), bad)
    assert_holds(window.snapshot(), range(5, 70))
    window.append(*samples(70, 3))
    assert_holds(window.snapshot(), range(8, 73))


def test_an_unknown_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="'nearest', not one of zero, hold_last, interpolate"):
        SensorWindow(LENGTH, 1 + POINTS, RATE, "nearest")


def test_cleared_it_is_empty_and_still_counts_from_the_start(window: SensorWindow) -> None:
    window.append(*samples(15, 15))
    window.append(*samples(0, 15))
    window.append(*samples(0, 15))
    window.clear()
    assert (window.samples, window.snapshot().missing) == (0, LENGTH)
    window.append(*samples(0, 15))
    assert_holds(window.snapshot(), range(15))
    assert counts(window) == (15, 15, 0)


def test_a_snapshot_is_its_owners_copy(window: SensorWindow) -> None:
    window.append(*samples(0, LENGTH))
    snapshot = window.snapshot()
    window.append(*samples(LENGTH, 20))
    assert_holds(snapshot, range(LENGTH))
    snapshot.values[:], snapshot.mask[:] = -1.0, False
    assert_holds(window.snapshot(), range(20, 20 + LENGTH))


def test_the_appended_arrays_stay_their_owners(window: SensorWindow) -> None:
    times, force, ascan = samples(0, LENGTH)
    window.append(times, force, ascan)
    times[:], force[:], ascan[:] = 0.0, -1.0, -1.0
    assert_holds(window.snapshot(), range(LENGTH))


DATAGRAM, DATAGRAMS = 15, 200


def arrivals(source: random.Random) -> list[int]:
    """Numbers of the datagrams that arrive, in this order: 20% are lost, 5% are overtaken by up to
    3 others, 5% come once more up to 3 later.
    """
    arriving = []
    for number in range(DATAGRAMS):
        if source.random() < 0.2:
            continue
        when = number + (source.randint(1, 3) + 0.5 if source.random() < 0.05 else 0.0)
        arriving.append((when, number))
        if source.random() < 0.05:
            arriving.append((when + source.randint(0, 3) + 0.25, number))
    return [number for _, number in sorted(arriving)]


def placed(received: set[int], pace: float) -> dict[int, int]:
    """Row: number of the received sample that belongs there, where the sensor takes ``pace``
    nominal periods for a sample.
    """
    newest = max(received)
    rows, row, next_number = {}, LENGTH - 1, newest
    for number in range(newest, newest - 2 * LENGTH, -1):
        if number in received:
            row -= round((next_number - number) * pace)
            next_number = number
            if row >= 0:
                rows[row] = number
    return rows


def filled(rows: dict[int, int], fill: str) -> NDArray[np.float32]:
    values = np.zeros((LENGTH, 1 + POINTS), np.float32)
    ordered = sorted(rows)
    for row in range(ordered[0], LENGTH):
        before = ordered[bisect_right(ordered, row) - 1]
        after = ordered[bisect_left(ordered, row)]
        if row in rows or fill == "hold_last":
            values[row] = row_of(rows[before])
        elif fill == "interpolate":
            share = (row - before) / (after - before)
            values[row] = row_of(rows[before] + share * (rows[after] - rows[before]))
    return values


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("jitter", "pace", "correction"),
    [
        pytest.param(0.0, 1.0, 0.0, id="exact"),
        pytest.param(0.2, 1.0, 0.0, id="jitter"),
        pytest.param(0.0, 1.03, 0.0, id="slow"),
        pytest.param(0.0, 0.97, 0.0, id="fast"),
        pytest.param(0.0, 1.0, 0.002, id="offset corrected"),
        pytest.param(0.2, 1.0, -0.002, id="jitter and offset corrected"),
    ],
)
def test_after_each_datagram_it_is_what_has_truly_arrived(
    seed: int, jitter: float, pace: float, correction: float
) -> None:
    source = random.Random(seed)
    total = DATAGRAM * DATAGRAMS
    periods = [number * pace + source.uniform(-jitter, jitter) for number in range(total)]
    sent = START + np.array(periods, np.float64) / RATE
    windows = {fill: SensorWindow(LENGTH, 1 + POINTS, RATE, fill) for fill in FILLS}
    received: set[int] = set()
    reordered = duplicates = most_gaps = 0
    for turn, datagram in enumerate(arrivals(source)):
        offset = 3.25 + correction * (turn // 10 % 2)
        first = datagram * DATAGRAM
        numbers = range(first, first + DATAGRAM)
        if first in received:
            duplicates += DATAGRAM
        elif received and first < max(received):
            reordered += DATAGRAM
        received.update(numbers)
        rows = placed(received, pace)
        mask = np.isin(np.arange(LENGTH), list(rows))
        for fill, window in windows.items():
            _, force, ascan = samples(first, DATAGRAM)
            window.append(sent[first : first + DATAGRAM] + offset, force, ascan, offset)
            snapshot = window.snapshot()
            expected = filled(rows, fill)
            assert np.array_equal(snapshot.mask, mask)
            assert np.array_equal(snapshot.values[mask], expected[mask])
            assert np.allclose(snapshot.values, expected, rtol=1e-6, atol=0.0)
            assert window.samples == snapshot.samples == len(rows)
            assert snapshot.missing == LENGTH - len(rows)
            steps = np.diff(sorted(rows))
            assert snapshot.gaps == np.count_nonzero(steps > 1)
            assert (snapshot.reordered, snapshot.duplicates) == (reordered, duplicates)
            assert snapshot.late == 0
            assert abs(snapshot.first_time - sent[rows[min(rows)]] - offset) < 2e-6
            assert abs(snapshot.last_time - sent[max(received)] - offset) < 2e-6
            most_gaps = max(most_gaps, snapshot.gaps)
    assert most_gaps >= 2
    assert reordered >= 2 * DATAGRAM
    assert duplicates >= 2 * DATAGRAM

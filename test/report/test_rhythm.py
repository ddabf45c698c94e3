"""What is missing, doubled and out of order."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from vla_inference_ros.report.rhythm import Rhythm, rhythm

START = 1_700_000_000.0
PERIOD = 1 / 64  # sums of it are exact [s]


def found(
    slots: ArrayLike,
    *,
    offset: ArrayLike = 0.0,
    received: ArrayLike | None = None,
    contents: list[int] | None = None,
    period: float | None = None,
) -> Rhythm:
    """Of items acquired at ``slots`` periods after the start, each with a content of its own."""
    own = START + np.asarray(slots, np.float64) * PERIOD
    digests = np.array(contents if contents is not None else np.arange(len(own)), np.uint32)
    came = own if received is None else np.asarray(received, np.float64)
    return rhythm(own, own + np.asarray(offset), came, digests, period)


def test_an_even_stream_misses_nothing() -> None:
    even = found(np.arange(100))
    assert (even.count, even.missing, even.duplicates, even.reordered, even.clock_steps) == (
        *(100, 0, 0, 0),
        0,
    )
    assert even.period == PERIOD
    assert even.expected == 100
    assert even.longest == 0.0


def test_gaps_are_where_items_are_missing() -> None:
    gappy = found(np.delete(np.arange(100), [20, 21, 22, 70]), offset=2.0)
    assert gappy.missing == 4
    assert gappy.expected == 100
    np.testing.assert_array_equal(gappy.gap_starts, START + 2.0 + np.array([19, 69]) * PERIOD)
    np.testing.assert_array_equal(gappy.gap_lengths, np.array([4, 2]) * PERIOD)
    assert gappy.longest == 4 * PERIOD


@pytest.mark.parametrize(("interval", "missing"), [(1.4, 0), (1.6, 1), (2.4, 1), (2.6, 2)])
def test_something_is_missing_from_one_and_a_half_periods_on(interval: float, missing: int) -> None:
    slots = np.concatenate([np.arange(50), 49 + interval + np.arange(50)])
    assert found(slots).missing == missing


def test_a_stream_a_little_off_its_nominal_rate_misses_nothing() -> None:
    assert found(np.arange(10_000) * 1.02, period=PERIOD).missing == 0


def test_a_sender_that_stamps_in_bursts_misses_nothing() -> None:
    bursts = [15.0 * burst + 0.01 * item for burst in range(20) for item in range(15)]
    assert found(bursts, period=PERIOD).missing == 0
    lost = [time for time in bursts if not 150 <= time < 164]
    assert found(lost, period=PERIOD).missing == 15


def test_the_same_time_and_content_is_a_duplicate() -> None:
    slots = [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]
    assert found(slots, contents=[0, 1, 1, 2, 7, 3]).duplicates == 1


def test_a_duplicate_may_come_later() -> None:
    late = found([0.0, 1.0, 2.0, 3.0, 1.0, 4.0], contents=[0, 1, 2, 3, 1, 4])
    assert (late.duplicates, late.reordered, late.missing) == (1, 1, 0)


def test_what_is_out_of_order_is_not_missing() -> None:
    assert (found([0, 2, 1, 3, 5, 4]).reordered, found([0, 2, 1, 3, 5, 4]).missing) == (2, 0)


def test_a_corrected_clock_offset_loses_nothing() -> None:
    offset = np.where(np.arange(100) < 50, 0.0, 40 * PERIOD)
    assert found(np.arange(100), offset=offset).missing == 0


@pytest.mark.parametrize("step", [3600.0, -3600.0, 1.0e9])
def test_a_clock_that_was_set_loses_nothing(step: float) -> None:
    received = START + np.arange(100) * PERIOD
    slots = np.arange(100) + np.where(np.arange(100) < 50, 0.0, step / PERIOD)
    stepped = found(slots, received=received)
    assert (stepped.clock_steps, stepped.missing, stepped.reordered) == (1, 0, 0)


def test_a_pause_of_the_sender_is_a_gap_and_no_clock_step() -> None:
    paused = found([*range(50), *range(50 + 640, 100 + 640)])
    assert (paused.clock_steps, paused.missing) == (0, 640)


def test_items_held_up_on_the_way_are_no_clock_step() -> None:
    received = START + np.maximum(np.arange(500) * PERIOD, 5.0)
    held = found(np.arange(500), received=received)
    assert (held.clock_steps, held.missing) == (0, 0)


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_anything(count: int) -> None:
    few = found(np.arange(count))
    assert (few.count, few.missing, few.expected) == (count, 0, count)
    assert np.isnan(few.period)

"""How well two consecutive chunks agree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.seams import seam, shift_between

START, STEP = 1_700_000_000.0, 0.1
HORIZON, DIMENSIONS = 8, 7


def chunk(seed: int, horizon: int = HORIZON) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(horizon, DIMENSIONS)).astype(np.float32)


def column(*values: float) -> NDArray[np.float64]:
    """A chunk of one dimension."""
    return np.array(values, np.float64)[:, None]


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_a_seam_compares_the_same_instants(shift: int) -> None:
    earlier, later = chunk(1), chunk(2)
    found = seam(earlier, later, shift, STEP)
    for dimension in range(DIMENSIONS):
        jumps = [
            float(later[step, dimension]) - float(earlier[step + shift, dimension])
            for step in range(HORIZON - shift)
        ]
        assert found.first[dimension] == pytest.approx(jumps[0])
        assert found.largest[dimension] == pytest.approx(max(map(abs, jumps)))
        mean_square = sum(jump**2 for jump in jumps) / len(jumps)
        assert found.rms[dimension] == pytest.approx(math.sqrt(mean_square))


def test_the_next_chunks_step_is_one_less() -> None:
    earlier = np.arange(HORIZON * 2, dtype=np.float32).reshape(HORIZON, 2)
    later = np.roll(earlier, -1, axis=0)
    later[-1] = 1e6  # beyond the earlier chunk: compared with nothing
    assert not seam(earlier, later, 1, STEP).largest.any()


# --- jerk


@pytest.mark.parametrize(
    ("earlier", "later", "shift", "jerk"),
    [
        # A chunk of zeros, then one of ones: whichever four steps, 0 0 0 1, 0 0 1 1 or 0 1 1 1,
        # whose third differences are 1, -2 and 1.
        ((0, 0, 0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1, 1, 1), 1, 2),
        ((0, 0, 0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1, 1, 1), 5, 2),
        # One instant is common: 5 7 0 | 0 0 0 0. Of 5 7 0 0 it is 0 - 0 + 3 * 7 - 5, of 7 0 0 0 -7.
        ((5, 7, 0, 0), (0, 0, 0, 0), 3, 16),
        # Two are: 1 | 0 0 6 gives 6 - 1, and 1 2 | 0 6 gives 6 - 0 + 6 - 1.
        ((1, 2, 9), (0, 0, 6), 1, 11),
        # Four steps of one and the same chunk have no change within, whatever their jerk.
        ((9, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 0), 4, 0),
        ((0, 0, 0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 9), 4, 0),
    ],
)
def test_jerk_by_hand(
    earlier: tuple[float, ...], later: tuple[float, ...], shift: int, jerk: float
) -> None:
    """With steps of 1 s, so that it is the third difference."""
    assert seam(column(*earlier), column(*later), shift, 1.0).jerk.tolist() == [jerk]


def brute_force(
    earlier: NDArray[np.floating], later: NDArray[np.floating], shift: int, step_dt: float
) -> list[float]:
    """The largest jerk of each dimension, from the definition."""
    horizon, dimensions = earlier.shape
    found = [-math.inf] * dimensions
    for at, dimension in itertools.product(range(horizon - shift), range(dimensions)):
        walked = [(float(x), "earlier") for x in earlier[: shift + at, dimension]]
        walked += [(float(x), "later") for x in later[at:, dimension]]
        for four in zip(walked, walked[1:], walked[2:], walked[3:], strict=False):
            if len({chunk for _, chunk in four}) == 2:
                (a, b, c, d) = (x for x, _ in four)
                found[dimension] = max(found[dimension], abs(d - 3 * c + 3 * b - a) / step_dt**3)
    return found


@pytest.mark.parametrize("horizon", [3, 4, 5, 8, 17])
def test_jerk_is_that_of_any_change_an_executor_can_make(horizon: int) -> None:
    for seed, shift in enumerate(range(1, horizon)):
        earlier, later = chunk(seed, horizon), chunk(seed + 100, horizon)
        found = seam(earlier, later, shift, STEP)
        assert found.jerk.tolist() == pytest.approx(brute_force(earlier, later, shift, STEP))


def test_jerk_has_the_unit_of_the_actions_by_cubic_seconds() -> None:
    earlier, later = chunk(1), chunk(2)
    slow, fast = seam(earlier, later, 2, 2 * STEP), seam(earlier, later, 2, STEP)
    np.testing.assert_allclose(slow.jerk, fast.jerk / 8)
    np.testing.assert_array_equal(slow.largest, fast.largest)
    np.testing.assert_allclose(seam(5 * earlier, 5 * later, 2, STEP).jerk, 5 * fast.jerk, rtol=1e-6)


@pytest.mark.parametrize("shift", [1, 2, 5, 7])
def test_chunks_of_one_smooth_curve_have_its_jerk_and_no_jump(shift: int) -> None:
    """Of a t^3 + b t^2 + c t + d the third derivative is 6 a."""
    coefficients = np.array(
        [[2.0, -1.0, 0.5, 0.25], [-0.125, 3.0, 0.0, -1.0], [0.0, 1.0, 1.0, 0.0]]
    )
    time = np.arange(HORIZON + shift) * STEP
    curve = np.vstack([np.polyval(each, time) for each in coefficients]).T
    found = seam(curve[:HORIZON], curve[shift:], shift, STEP)
    np.testing.assert_allclose(found.jerk, np.abs(6 * coefficients[:, 0]), atol=1e-9)
    assert not found.largest.any()


def test_chunks_too_short_for_a_third_difference_have_a_jump_but_no_jerk() -> None:
    found = seam(column(0, 0), column(1, 1), 1, STEP)
    assert found.largest.tolist() == [1.0]
    assert np.isnan(found.jerk).all()


def test_what_is_not_known_stays_in_its_dimension() -> None:
    earlier = np.zeros((HORIZON, 2))
    earlier[:, 1] = np.nan
    found = seam(earlier, np.ones((HORIZON, 2)), 1, 1.0)
    np.testing.assert_array_equal(found.jerk, [2.0, np.nan])
    np.testing.assert_array_equal(found.largest, [1.0, np.nan])


# --- no seam


def test_chunks_that_do_not_overlap_have_no_seam() -> None:
    for shift in (0, -1, HORIZON):
        with pytest.raises(ValueError, match="do not overlap"):
            seam(chunk(1), chunk(2), shift, STEP)
    with pytest.raises(ValueError, match="do not overlap"):
        seam(chunk(1), chunk(2)[:, 1:], 1, STEP)


@pytest.mark.parametrize("step_dt", [0.0, -0.1, math.nan])
def test_steps_that_take_no_time(step_dt: float) -> None:
    assert shift_between(START, START + STEP, step_dt, HORIZON) == 0
    with pytest.raises(ValueError, match="no time between two steps"):
        seam(chunk(1), chunk(2), 1, step_dt)


@pytest.mark.parametrize(
    ("steps", "shift"),
    [(1, 1), (7, 7), (0, 0), (8, 0), (-1, 0), (1.1, 1), (1.4, 0), (1e12, 0), (math.nan, 0)],
)
def test_shift(steps: float, shift: int) -> None:
    assert shift_between(START, START + steps * STEP, STEP, HORIZON) == shift

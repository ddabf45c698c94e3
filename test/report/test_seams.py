"""How well consecutive chunks agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.report.seams import seam, seams, shift_between

START, STEP = 1_700_000_000.0, 0.1
HORIZON, DIMENSIONS = 8, 7


def chunk(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(HORIZON, DIMENSIONS)).astype(np.float32)


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_a_seam_compares_the_same_instants(shift: int) -> None:
    earlier, later = chunk(1), chunk(2)
    found = seam(earlier, later, shift)
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
    assert not seam(earlier, later, 1).largest.any()


def test_chunks_that_do_not_overlap_have_no_seam() -> None:
    for shift in (0, -1, HORIZON):
        with pytest.raises(ValueError, match="do not overlap"):
            seam(chunk(1), chunk(2), shift)
    with pytest.raises(ValueError, match="do not overlap"):
        seam(chunk(1), chunk(2)[:, 1:], 1)


@pytest.mark.parametrize(
    ("steps", "shift"),
    [(1, 1), (7, 7), (0, 0), (8, 0), (-1, 0), (1.1, 1), (1.4, 0), (1e12, 0), (math.nan, 0)],
)
def test_shift(steps: float, shift: int) -> None:
    assert shift_between(START, START + steps * STEP, STEP, HORIZON) == shift


@pytest.mark.parametrize("step_dt", [0.0, -0.1, math.nan])
def test_no_step_no_shift(step_dt: float) -> None:
    assert shift_between(START, START + STEP, step_dt, HORIZON) == 0


def test_seams_of_a_run() -> None:
    """Chunks of one straight line, off by 0.5 in one dimension from the fourth on, with a gap of
    three steps and one of twenty.
    """
    ticks = np.array([0, 1, 2, 3, 6, 26, 27])
    instants = (ticks[:, None] + np.arange(HORIZON)) * STEP
    actions = np.repeat(instants[:, :, None], DIMENSIONS, axis=2)
    actions[3:, :, 5] += 0.5
    found = seams(START + ticks * STEP, actions, np.full(len(ticks), STEP))
    assert found.pairs == 6
    np.testing.assert_array_equal(found.stamps, START + ticks[[1, 2, 3, 4, 6]] * STEP)
    expected = np.zeros((5, DIMENSIONS))
    expected[2, 5] = 0.5
    for values in (found.first, found.largest, found.rms):
        np.testing.assert_allclose(values, expected, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_chunks(count: int) -> None:
    found = seams(np.full(count, START), np.zeros((count, 8, 7)), np.full(count, STEP))
    assert (found.pairs, found.largest.shape) == (0, (0, 7))

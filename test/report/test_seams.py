"""How well the chunks of a whole run agree."""

from __future__ import annotations

import numpy as np
import pytest

from vla_inference_ros.report.seams import seams

START, STEP = 1_700_000_000.0, 0.1
HORIZON, DIMENSIONS = 8, 7


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
    # A step of 0.5 in a straight line has third differences of 0.5, -1 and 0.5.
    np.testing.assert_allclose(found.jerk, 2 * expected / STEP**3, atol=1e-9)


def test_chunks_with_steps_of_another_length_have_no_seam() -> None:
    stamps = START + np.array([0.0, 1.0, 2.0, 3.0]) * STEP
    actions = np.zeros((4, HORIZON, DIMENSIONS))
    found = seams(stamps, actions, np.array([STEP, STEP, 2 * STEP, 2 * STEP]))
    np.testing.assert_array_equal(found.stamps, stamps[[1]])
    assert found.pairs == 3


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_chunks(count: int) -> None:
    found = seams(np.full(count, START), np.zeros((count, 8, 7)), np.full(count, STEP))
    assert (found.pairs, found.largest.shape, found.jerk.shape) == (0, (0, 7), (0, 7))

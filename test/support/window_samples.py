"""Samples that say their number in all that they have, and what a window holds of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.core.window import SensorWindow, WindowSnapshot

LENGTH, POINTS, RATE = 65, 4, 650.0
HISTORY = 2 * LENGTH
START = 1.7e9


class Batch(NamedTuple):
    times: NDArray[np.float64]
    force: NDArray[np.float32]
    ascan: NDArray[np.float32]


def samples_of(numbers: NDArray[np.intp]) -> Batch:
    """Samples with these numbers; each says its number in all that it has."""
    force = numbers.astype(np.float32)
    ascan = (1000 * numbers[:, None] + np.arange(POINTS)).astype(np.float32)
    return Batch(START + numbers / RATE, force, ascan)


def samples(first: int, count: int) -> Batch:
    return samples_of(np.arange(first, first + count))


def row_of(number: float) -> NDArray[np.float32]:
    return np.array([number, *(1000 * number + np.arange(POINTS))], np.float32)


def assert_holds(snapshot: WindowSnapshot, *runs: range) -> None:
    """Samples with these numbers, each as many rows before the newest as its number is less; the
    other rows are zero.
    """
    numbers = np.concatenate([np.array(run) for run in runs])
    expected = np.zeros((LENGTH, 1 + POINTS), np.float32)
    mask = np.zeros(LENGTH, np.bool_)
    for number in numbers:
        expected[number - numbers[-1] - 1] = row_of(number)
        mask[number - numbers[-1] - 1] = True
    np.testing.assert_array_equal(snapshot.values, expected)
    np.testing.assert_array_equal(snapshot.mask, mask)
    assert snapshot.values.dtype == np.float32
    assert snapshot.mask.dtype == np.bool_
    assert snapshot.samples == len(numbers)
    assert snapshot.missing == LENGTH - len(numbers)
    assert snapshot.gaps == len(runs) - 1
    times = samples_of(numbers[[0, -1]]).times
    assert (snapshot.first_time, snapshot.last_time) == pytest.approx(times.tolist(), abs=1e-6)


def counts(window: SensorWindow) -> tuple[int, int, int]:
    """Samples put in order, dropped as duplicates, dropped as late."""
    snapshot = window.snapshot()
    return snapshot.reordered, snapshot.duplicates, snapshot.late

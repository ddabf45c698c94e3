"""Few numbers of many."""

from __future__ import annotations

import numpy as np
import pytest

from vla_inference_ros.report.reduce import Distribution, envelope, rates
from vla_inference_ros.report.rows import Rows


def test_no_peak_is_lost() -> None:
    x = np.arange(2_000_000) / 650
    y = np.zeros(len(x), np.float32)
    y[1_234_567], y[777] = 9.5, -3.5
    line_x, line_y = envelope(x, y, 0.0, x[-1], 800)
    assert len(line_x) == len(line_y) == 1600
    assert line_y.max() == 9.5
    assert line_y.min() == -3.5
    assert abs(line_x[line_y.argmax()] - x[1_234_567]) <= x[-1] / 800


def test_columns_without_points_are_gaps() -> None:
    x = np.concatenate([np.arange(0, 10, 0.01), np.arange(20, 30, 0.01)])
    line_x, line_y = envelope(x, np.ones(len(x)), 0.0, 30.0, 30)
    gap = (line_x > 10) & (line_x < 20)
    assert np.isnan(line_y[gap]).all()
    assert (line_y[~gap] == 1).all()


def test_few_points_stay_as_they_are_in_order() -> None:
    line_x, line_y = envelope(np.array([2.0, 1.0, 3.0]), np.array([20.0, 10.0, 30.0]), 0.0, 5.0, 10)
    assert (line_x.tolist(), line_y.tolist()) == ([1, 2, 3], [10, 20, 30])


def test_what_is_not_finite_or_outside_is_left_out() -> None:
    x = np.array([0.0, 1.0, np.nan, 3.0, -1e9, 1e9])
    y = np.array([0.0, np.inf, 2.0, 3.0, 4.0, 5.0])
    line_x, line_y = envelope(x, y, 0.0, 10.0, 10)
    assert (line_x.tolist(), line_y.tolist()) == ([0, 3], [0, 3])


def test_an_envelope_of_a_single_instant() -> None:
    x = np.full(100, 7.0)
    line_x, line_y = envelope(x, np.arange(100.0), 7.0, 7.0, 10)
    assert np.isfinite(line_x).all()
    assert [np.nanmin(line_y), np.nanmax(line_y)] == pytest.approx([0, 99])


def test_rates() -> None:
    edges, values = rates(np.arange(0.05, 10, 0.1), 0.0, 10.0, 5)
    assert edges.tolist() == [0, 2, 4, 6, 8, 10]
    assert values.tolist() == pytest.approx([10] * 5)


def test_distribution() -> None:
    found = Distribution.of([*range(101), np.nan, np.inf])
    assert (found.count, found.mean, found.p50, found.p95, found.p99, found.most) == (
        *(101, 50, 50, 95),
        *(99, 100),
    )
    assert Distribution.of([]).count == 0


def test_rows_grow() -> None:
    rows = Rows(np.dtype([("number", "<i4"), ("half", "<f8")]))
    count = 100_000
    for number in range(0, count // 2):
        rows.append((number, number / 2))
    numbers = np.arange(count // 2, count)
    rest = np.empty(len(numbers), rows.array().dtype)
    rest["number"], rest["half"] = numbers, numbers / 2
    rows.extend(rest)
    found = rows.array()
    assert len(rows) == len(found) == count
    np.testing.assert_array_equal(found["number"], np.arange(count))
    np.testing.assert_array_equal(found["half"], np.arange(count) / 2)

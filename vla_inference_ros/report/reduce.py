"""Makes few numbers of many: as many as a plot has pixels, or a table has cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Distribution:
    """Of ``count`` finite values, all in their unit; NaN where there are none."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: ArrayLike) -> Distribution:
        """Of values of any shape, without those that are not finite."""
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        if not len(finite):
            return cls(0, *(float("nan"),) * 5)
        p50, p95, p99 = np.percentile(finite, (50, 95, 99)).tolist()
        return cls(len(finite), float(finite.mean()), p50, p95, p99, float(finite.max()))


def envelope(
    x: NDArray[np.float64], y: NDArray[np.floating], low: float, high: float, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line (2 * columns,) through the least and the greatest y of each column of ``low`` to
    ``high``, so that no peak is lost. NaN where a column has no point; a line that has fewer points
    than that is only put in order.
    """
    inside = np.isfinite(x) & np.isfinite(y) & (x >= low) & (x <= high)
    x, values = x[inside], y[inside].astype(np.float64)
    if (np.diff(x) < 0).any():
        order = np.argsort(x, kind="stable")
        x, values = x[order], values[order]
    if len(x) <= 2 * columns:
        return x, values
    column = column_of(x, low, high, columns)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    line = np.full((columns, 2), np.nan)
    line[column[first], 0] = np.minimum.reduceat(values, first)
    line[column[first], 1] = np.maximum.reduceat(values, first)
    centres = low + (np.arange(columns) + 0.5) * (high - low) / columns
    return np.repeat(centres, 2), line.ravel()


def column_of(x: NDArray[np.float64], low: float, high: float, columns: int) -> NDArray[np.intp]:
    """Which of the equal columns from ``low`` to ``high`` each x is in."""
    width = (high - low) / columns or 1.0
    return np.clip((x - low) / width, 0, columns - 1).astype(np.intp)


def rates(
    times: NDArray[np.float64], low: float, high: float, bins: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges (bins + 1,) and the rate in each bin (bins,) [1/s]."""
    counts, edges = np.histogram(times[np.isfinite(times)], bins, (low, high))
    return edges, counts / np.diff(edges)

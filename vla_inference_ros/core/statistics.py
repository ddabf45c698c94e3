"""Statistics over a sliding minute, and rates."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the values in the window, all in the values' unit; zeros when there are none.

    ``misses`` counts those over the deadline.
    """

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    misses: int = 0


class SlidingStatistics:
    """Keeps the values of the last ``span`` seconds; their times must not decrease. One thread may
    add while another asks for the summary.

    The values of the first ``warm_up`` seconds are forgotten as soon as there are later ones: a
    first call loads, compiles and connects. Values over ``deadline`` are counted.
    """

    def __init__(
        self, span: float = 60.0, *, warm_up: float = 0.0, deadline: float = math.inf
    ) -> None:
        self.deadline = deadline
        self._span = span
        self._warm_up = warm_up
        self._warm_until: float | None = None
        self._values: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def add(self, time: float, value: float) -> None:
        """Add one value that was measured at ``time`` [s]."""
        with self._lock:
            if self._warm_until is None:
                self._warm_until = time + self._warm_up
            elif self._warm_up and time > self._warm_until:
                self._values.clear()
                self._warm_up = 0.0
            self._values.append((time, value))
            self._forget(time)

    def summary(self, now: float, deviation_from: float | None = None) -> Summary:
        """Of the values that are at most ``span`` old at ``now`` [s], or of their absolute
        deviation from a nominal value.
        """
        with self._lock:
            self._forget(now)
            if not self._values:
                return Summary()
            values = np.fromiter((value for _, value in self._values), float, len(self._values))
        if deviation_from is not None:
            values = np.abs(values - deviation_from)
        p50, p95, p99 = np.percentile(values, (50, 95, 99)).tolist()
        misses = int((values > self.deadline).sum())
        return Summary(len(values), float(values.mean()), p50, p95, p99, misses)

    def _forget(self, now: float) -> None:
        while self._values and self._values[0][0] < now - self._span:
            self._values.popleft()


class RateMeter:
    """Rate of a growing count over the last ``span`` seconds, from readings taken now and then."""

    def __init__(self, span: float = 5.0) -> None:
        self._span = span
        self._readings: deque[tuple[float, int]] = deque()

    def rate(self, now: float, count: int) -> float:
        """Items per second up to ``now`` [s], at which ``count`` items had come; 0 at first."""
        if self._readings and now < self._readings[-1][0]:  # simulated time started over
            self._readings.clear()
        self._readings.append((now, count))
        while len(self._readings) > 2 and self._readings[0][0] < now - self._span:
            self._readings.popleft()
        first_time, first_count = self._readings[0]
        return (count - first_count) / (now - first_time) if now > first_time else 0.0

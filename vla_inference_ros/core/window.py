"""The sensor window: the newest samples, as the action expert takes them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_MISSING = 2**32 - 1  # what a message can say; only a clock that was set far gives more


@dataclass(frozen=True, slots=True, eq=False)
class WindowSnapshot:
    """The window at one instant.

    ``values`` (length, channels) float32: row -1 is the newest sample, column 0 the force [N], the
    rest the A-scan; rows before the first sample are zero. ``samples`` counts the real rows.
    ``missing`` counts the nominal sample slots without one: empty rows at the front, and gaps
    between consecutive samples. ``first_time`` and ``last_time`` are acquisition times [Unix s] of
    the oldest and newest sample, 0 in an empty window.
    """

    values: NDArray[np.float32]
    samples: int
    missing: int
    first_time: float
    last_time: float


class SensorWindow:
    """Keeps the newest ``length`` samples; one thread may append while another takes snapshots.

    Stored twice over in a buffer of 2 x length rows, so that the newest rows are always one
    contiguous block and a snapshot is a single copy.
    """

    def __init__(self, length: int, channels: int, rate: float) -> None:
        self.length = length
        self._period = 1.0 / rate
        self._lock = threading.Lock()
        self._values = np.zeros((2 * length, channels), np.float32)
        self._times = np.zeros(2 * length)
        self._next = 0
        self._samples = 0

    def append(
        self, times: NDArray[np.float64], force: NDArray[np.float32], ascan: NDArray[np.float32]
    ) -> None:
        """Add n samples, oldest first: times (n,) [Unix s], force (n,) [N], ascan (n, K)."""
        if ascan.shape[1] != self._values.shape[1] - 1:
            raise ValueError(
                f"A-scan has {ascan.shape[1]} points, the window takes {self._values.shape[1] - 1}"
            )
        newest = slice(-self.length, None)
        times, force, ascan = times[newest], force[newest], ascan[newest]
        count = len(times)
        with self._lock:
            rows = (self._next + np.arange(count)) % self.length
            for copy in (rows, rows + self.length):
                self._times[copy] = times
                self._values[copy, 0] = force
                self._values[copy, 1:] = ascan
            self._next = int((self._next + count) % self.length)
            self._samples = min(self.length, self._samples + count)

    @property
    def samples(self) -> int:
        """How many real samples the window holds."""
        with self._lock:
            return self._samples

    def snapshot(self) -> WindowSnapshot:
        """A copy of the window, owned by the caller."""
        with self._lock:
            block = slice(self._next, self._next + self.length)
            values, times, samples = self._values[block].copy(), self._times[block], self._samples
            times = times[self.length - samples :].copy()
        if samples == 0:
            return WindowSnapshot(values, 0, self.length, 0.0, 0.0)
        slots = np.rint(np.diff(times) / self._period)
        gaps = int(np.maximum(slots - 1, 0).sum())
        missing = min(self.length - samples + gaps, _MOST_MISSING)
        return WindowSnapshot(values, samples, missing, float(times[0]), float(times[-1]))

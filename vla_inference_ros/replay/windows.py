"""Finds the sensor window of a recorded action chunk among the recorded samples, row by row."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.window import SensorWindow, WindowSnapshot
from vla_inference_ros.core.wire import SENSOR_RATE, SensorDatagram
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.replay.lineage import (
    LATEST,
    SAME_TIME,
    NotRecordedError,
    RecordedChunk,
    UpTo,
)

_KEPT = 1.0  # before a window's oldest sample: clock offsets may be corrected by less [s]
_MOST = 4096  # batches that are kept, whatever their times say
_CORRECTION = 1e-3  # of the clock offset within a window; less than between two samples [s]
# Recorded times are rounded: a sample in the middle between two rows may come to stand in the
# other one. A rate that is a little off decides so, and moves no others.
_RATES = (SENSOR_RATE, SENSOR_RATE * 1.001, SENSOR_RATE / 1.001)


class RecordedSamples:
    """Walks through a recording's samples along with its chunks."""

    def __init__(self, samples: Iterator[Received[SensorDatagram]]) -> None:
        self._samples = UpTo(samples, lambda batch: min(batch.received, _newest(batch)))
        self._kept: deque[Received[SensorDatagram]] = deque(maxlen=_MOST)

    def window(self, chunk: RecordedChunk) -> NDArray[np.float32]:
        """(length, channels) float32, what the action expert had for this chunk.

        Chunks are to be asked for in their order. NotRecordedError if a sample is missing.
        """
        self._forget(chunk)
        for batch in self._samples(chunk.timestamp + LATEST):
            self._kept.append(batch)
            self._forget(chunk)
        if not self._kept:
            raise NotRecordedError("sensor samples of its window are not in the recording")
        return _Samples(list(self._kept)).window(chunk)

    def _forget(self, chunk: RecordedChunk) -> None:
        while self._kept and _newest(self._kept[0]) < chunk.sensor_first - _KEPT:
            self._kept.popleft()


def _newest(batch: Received[SensorDatagram]) -> float:
    return float(batch.packet.times[-1]) + batch.clock_offset


class _Samples:
    """The samples of batches in the order of their receipt: n in all."""

    def __init__(self, batches: list[Received[SensorDatagram]]) -> None:
        counts = [len(batch.packet.times) for batch in batches]
        self._packets = [batch.packet for batch in batches]
        self._offsets = np.array([batch.clock_offset for batch in batches])
        self._ends = np.cumsum(counts)
        self._batch = np.repeat(np.arange(len(batches)), counts)
        self._sent = np.concatenate([packet.times for packet in self._packets])
        self._stamps = self._sent + self._offsets[self._batch]

    def window(self, chunk: RecordedChunk) -> NDArray[np.float32]:
        """See :meth:`RecordedSamples.window`."""
        most: WindowSnapshot | None = None
        for last in self._last_batches(chunk):
            for rate in _RATES:
                for corrected in (True, False):
                    found = self._snapshot(chunk, last, rate, corrected)
                    if _agrees(found, chunk):
                        return _placed(found.values[found.mask], chunk)
                    if most is None or found.samples > most.samples:
                        most = found
        # More than the expert had: a batch may be in the recording that did not reach it.
        if (
            most is not None
            and most.mask[chunk.mask].all()
            and abs(most.last_time - chunk.sensor_last) <= SAME_TIME
        ):
            return _placed(most.values[chunk.mask], chunk)
        raise NotRecordedError("sensor samples of its window are not in the recording")

    def _last_batches(self, chunk: RecordedChunk) -> list[int]:
        """Those that may have been the last to come before the tick: the one that has the newest
        sample, or a later one that was overtaken by it.
        """
        newest = np.abs(self._stamps - chunk.sensor_last) <= _CORRECTION
        if not newest.any():
            return []
        first = int(self._batch[newest][0])
        inside = self._stamps >= chunk.sensor_first - _CORRECTION
        inside &= self._stamps <= chunk.sensor_last + _CORRECTION
        return [first, *(int(b) for b in np.unique(self._batch[inside]) if b > first)]

    def _snapshot(
        self, chunk: RecordedChunk, last: int, rate: float, corrected: bool
    ) -> WindowSnapshot:
        """The window of the samples in the chunk's time, up to the batch ``last``.

        Their times are ``corrected`` by the clock offset that was known last, unless the sender's
        clock was set: see :class:`SensorWindow`.
        """
        offset = float(self._offsets[last]) if corrected else 0.0
        times = (self._sent + offset if corrected else self._stamps)[: self._ends[last]]
        inside = np.flatnonzero(
            (times >= chunk.sensor_first - SAME_TIME) & (times <= chunk.sensor_last + SAME_TIME)
        )
        force, ascan = self._content(inside)
        window = SensorWindow(len(chunk.mask), 1 + ascan.shape[1], rate)
        window.append(times[inside], force, ascan, offset)
        return window.snapshot()

    def _content(
        self, samples: NDArray[np.intp]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(force (m,), A-scans (m, K)) of m samples by their numbers, which ascend."""
        batches = self._batch[samples]
        force, ascan = [], [self._packets[0].ascan[:0]]
        for number in np.unique(batches):
            packet = self._packets[number]
            rows = samples[batches == number] - (self._ends[number] - len(packet.times))
            force.append(packet.force[rows])
            ascan.append(packet.ascan[rows])
        return np.concatenate([*force, np.empty(0, np.float32)]), np.concatenate(ascan)


def _agrees(found: WindowSnapshot, chunk: RecordedChunk) -> bool:
    return (
        bool(np.array_equal(found.mask, chunk.mask))
        and abs(found.first_time - chunk.sensor_first) <= SAME_TIME
        and abs(found.last_time - chunk.sensor_last) <= SAME_TIME
    )


def _placed(rows: NDArray[np.float32], chunk: RecordedChunk) -> NDArray[np.float32]:
    """The window with these samples in the rows of the chunk's mask, the others filled."""
    window = SensorWindow(len(chunk.mask), rows.shape[1], SENSOR_RATE, chunk.fill)
    window.append(np.flatnonzero(chunk.mask) / SENSOR_RATE, rows[:, 0], rows[:, 1:])
    return window.snapshot().values

"""The seams between the action chunks that the monitor hears, over the last minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.seams import seam, shift_between
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk, InferenceStatus
from vla_inference_ros.nodes.chunk_steps import check_finite, shaped_steps

_SPAN = 60.0  # [s]


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """What a seam needs of a chunk: ``actions`` (H, 7), step 0 for ``start`` [Unix s], the next
    ones ``step_dt`` [s] after each other.
    """

    chunk_id: int
    start: float
    step_dt: float
    actions: NDArray[np.float32]


class ChunkSeams:
    """Keeps the newest chunk, and each dimension's jumps and jerks. One thread."""

    def __init__(self) -> None:
        self._newest: _Steps | None = None
        self._jumps, self._jerks = _LastMinute(), _LastMinute()

    def add(self, chunk: ActionChunk, steady_now: float) -> None:
        """Take the next chunk, heard at ``steady_now`` [s]. There is a seam if it is numbered as
        the next of the same node, has the same shape and the same step, and begins while the one
        before goes on.

        ChunkError if its numbers do not make sense; then neither has the chunk after it a seam.
        """
        before, self._newest = self._newest, None
        self._newest = newest = _steps_of(chunk)
        if (
            before is None
            or newest.chunk_id != before.chunk_id + 1
            or newest.step_dt != before.step_dt
            or newest.actions.shape != before.actions.shape
        ):
            return
        shift = shift_between(before.start, newest.start, before.step_dt, len(before.actions))
        if not shift:
            return
        found = seam(before.actions, newest.actions, shift, before.step_dt)
        self._jumps.add(steady_now, found.largest)
        if np.isfinite(found.jerk).all():  # chunks may be too short for one
            self._jerks.add(steady_now, found.jerk)

    def fill(self, status: InferenceStatus, steady_now: float) -> None:
        """Fill in the 99th percentiles up to ``steady_now`` [s]; 0 where there is no seam."""
        for kind, values in (("jump", self._jumps), ("jerk", self._jerks)):
            for name, value in zip(ACTION_NAMES, values.p99(steady_now).tolist(), strict=True):
                setattr(status, f"seam_{kind}_{name}", value)


class _LastMinute:
    """A value for each action dimension (7,), again and again. Taken together, since percentiles of
    each alone would take the monitor as long as all the rest of a status.
    """

    def __init__(self) -> None:
        self._values: deque[tuple[float, NDArray[np.float64]]] = deque()

    def add(self, time: float, values: NDArray[np.float64]) -> None:
        self._values.append((time, values))
        self._forget(time)

    def p99(self, now: float) -> NDArray[np.float64]:
        """The 99th percentiles (7,) at ``now`` [s]; 0 where there is no value."""
        self._forget(now)
        if not self._values:
            return np.zeros(len(ACTION_NAMES))
        found: NDArray[np.float64] = np.percentile([each for _, each in self._values], 99, axis=0)
        return found

    def _forget(self, now: float) -> None:
        while self._values and self._values[0][0] < now - _SPAN:
            self._values.popleft()


def _steps_of(chunk: ActionChunk) -> _Steps:
    actions = shaped_steps(chunk)
    check_finite(chunk, actions)
    return _Steps(chunk.chunk_id, seconds(chunk.header.stamp), chunk.step_dt, actions)

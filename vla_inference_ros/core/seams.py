"""How well two consecutive action chunks agree about the instants that both of them are for.

Whoever executes them changes over at one of those instants: how far the position then jumps, and
how hard the motion is jerked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_OFF = 0.25  # of a step; chunks whose steps are further from each other's cannot be compared
_THIRD_DIFFERENCE = np.array([-1.0, 3.0, -3.0, 1.0])  # of four consecutive steps


@dataclass(frozen=True, slots=True, eq=False)
class Seam:
    """Between a chunk and the next one, per action dimension (D,), in the actions' unit:
    ``first`` is the jump at the first instant that both are for, with its sign; ``largest`` and
    ``rms`` are the largest and the root mean square jump over all such instants. ``jerk``
    [unit/s^3] is the largest absolute third derivative across a change from one to the other, at
    whichever of those instants; NaN if no four steps in a row have steps of both.
    """

    first: NDArray[np.float64]
    largest: NDArray[np.float64]
    rms: NDArray[np.float64]
    jerk: NDArray[np.float64]


def shift_between(earlier: float, later: float, step_dt: float, horizon: int) -> int:
    """By how many steps a chunk begins after another: step i of the earlier one and step i - shift
    of the later one are for the same instant. 0 if they have no instant in common.

    Times of step 0 and ``step_dt`` in s.
    """
    if not step_dt > 0 or not np.isfinite(later - earlier):
        return 0
    steps = (later - earlier) / step_dt
    shift = round(steps) if abs(steps) < horizon else 0
    return shift if 0 < shift < horizon and abs(steps - shift) <= _OFF else 0


def seam(
    earlier: NDArray[np.floating], later: NDArray[np.floating], shift: int, step_dt: float
) -> Seam:
    """The seam between two chunks (H, D) of which the later begins ``shift`` steps of ``step_dt``
    [s] after: ``d[j] = later[j] - earlier[j + shift]`` for j = 0 .. H - 1 - shift, and of it
    ``first = d[0]``, ``largest = max |d|``, ``rms = sqrt(mean(d ** 2))``, over j.

    A change at j gives the sequence ``earlier[0 .. shift + j - 1], later[j ..]``: ``jerk`` is
    ``max |third difference| / step_dt ** 3``, over all j and all four consecutive steps with at
    least one of each chunk.

    ValueError if the shapes differ, nothing overlaps, or ``step_dt`` is not positive.
    """
    if earlier.shape != later.shape or not 0 < shift < len(earlier):
        raise ValueError(
            f"chunks of shapes {earlier.shape} and {later.shape}, {shift} steps apart, do not "
            "overlap"
        )
    if not step_dt > 0:
        raise ValueError(f"chunks have steps of {step_dt:g} s, which is no time between two steps")
    steps = np.concatenate([earlier, later], dtype=np.float64)
    jump = steps[len(earlier) : -shift] - steps[shift : len(earlier)]
    size = np.abs(jump)
    rms = np.sqrt(np.mean(jump**2, axis=0))
    return Seam(jump[0], size.max(axis=0), rms, _jerk(steps, shift, step_dt))


def _jerk(steps: NDArray[np.float64], shift: int, step_dt: float) -> NDArray[np.float64]:
    """The largest jerk (D,) across a change from the one to the other of two chunks (2 H, D)."""
    windows = _straddling(len(steps) // 2, shift)
    if not len(windows):
        return np.full(steps.shape[1], np.nan)
    largest: NDArray[np.float64] = np.abs(_THIRD_DIFFERENCE @ steps[windows]).max(axis=0)
    return largest / step_dt**3


@lru_cache(maxsize=64)
def _straddling(horizon: int, shift: int) -> NDArray[np.intp]:
    """All four consecutive steps that have steps of both chunks, whichever instant the change is
    at: which rows they are (n, 4) of the two chunks one below the other.
    """
    change = np.arange(shift, horizon).repeat(3)  # its instant; 0 is that of the earlier's step 0
    start = change - np.tile([1, 2, 3], horizon - shift)  # so many steps are of the earlier chunk
    instants = start[:, None] + np.arange(4)
    rows = np.where(instants < change[:, None], instants, horizon + instants - shift)
    rows = rows[(start >= 0) & (rows[:, -1] < 2 * horizon)]
    rows.flags.writeable = False  # all callers share it
    return rows

"""How well consecutive action chunks agree about the instants that both of them are for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_OFF = 0.25  # of a step; chunks whose steps are further from each other's cannot be compared


@dataclass(frozen=True, slots=True, eq=False)
class Seam:
    """Between a chunk and the next one, per action dimension (D,), in the actions' unit:
    ``first`` is the jump at the first instant that both are for, with its sign; ``largest`` and
    ``rms`` are the largest and the root mean square jump over all such instants.
    """

    first: NDArray[np.float64]
    largest: NDArray[np.float64]
    rms: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seams:
    """The seams of a run: ``stamps`` (m,) [Unix s], step 0 of each later chunk, then as in
    :class:`Seam`, (m, D). Of ``pairs`` of consecutive chunks, those without a common instant have
    no seam.
    """

    stamps: NDArray[np.float64]
    first: NDArray[np.float64]
    largest: NDArray[np.float64]
    rms: NDArray[np.float64]
    pairs: int


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


def seam(earlier: NDArray[np.floating], later: NDArray[np.floating], shift: int) -> Seam:
    """The seam between two chunks (H, D) of which the later begins ``shift`` steps after:
    ``d[j] = later[j] - earlier[j + shift]`` for j = 0 .. H - 1 - shift, and of it
    ``first = d[0]``, ``largest = max |d|``, ``rms = sqrt(mean(d ** 2))``, over j.

    ValueError if the shapes differ, or nothing overlaps.
    """
    if earlier.shape != later.shape or not 0 < shift < len(earlier):
        raise ValueError(
            f"chunks of shapes {earlier.shape} and {later.shape}, {shift} steps apart, do not "
            "overlap"
        )
    jump = later[: len(later) - shift].astype(np.float64) - earlier[shift:]
    return Seam(jump[0], np.abs(jump).max(axis=0), np.sqrt(np.mean(jump**2, axis=0)))


def seams(
    stamps: NDArray[np.float64], actions: NDArray[np.floating], step_dt: NDArray[np.float64]
) -> Seams:
    """The seams between n chunks in a row: (n,) [Unix s], (n, H, D), (n,) [s]."""
    horizon, dimensions = actions.shape[1:]
    found, times = [], []
    for index in range(1, len(stamps)):
        shift = shift_between(
            float(stamps[index - 1]), float(stamps[index]), float(step_dt[index - 1]), horizon
        )
        if shift:
            found.append(seam(actions[index - 1], actions[index], shift))
            times.append(stamps[index])

    def stacked(name: str) -> NDArray[np.float64]:
        rows = [getattr(each, name) for each in found]
        return np.array(rows, np.float64).reshape(len(rows), dimensions)

    pairs = max(0, len(stamps) - 1)
    return Seams(np.array(times), stacked("first"), stacked("largest"), stacked("rms"), pairs)

"""The seams between the consecutive action chunks of a whole run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.seams import Seam, seam, shift_between


@dataclass(frozen=True, slots=True, eq=False)
class Seams:
    """``stamps`` (m,) [Unix s], step 0 of each later chunk, then as in
    :class:`~vla_inference_ros.core.seams.Seam`, (m, D). Of ``pairs`` of consecutive chunks, those
    without a common instant, or with steps of another length, have no seam.
    """

    stamps: NDArray[np.float64]
    first: NDArray[np.float64]
    largest: NDArray[np.float64]
    rms: NDArray[np.float64]
    jerk: NDArray[np.float64]
    pairs: int


def seams(
    stamps: NDArray[np.float64], actions: NDArray[np.floating], step_dt: NDArray[np.float64]
) -> Seams:
    """The seams between n chunks in a row: (n,) [Unix s], (n, H, D), (n,) [s]."""
    horizon, dimensions = actions.shape[1:]
    found: list[Seam] = []
    times: list[float] = []
    for index in range(1, len(stamps)):
        step = float(step_dt[index - 1])
        shift = shift_between(float(stamps[index - 1]), float(stamps[index]), step, horizon)
        if shift and step_dt[index] == step:
            found.append(seam(actions[index - 1], actions[index], shift, step))
            times.append(float(stamps[index]))

    def stacked(name: str) -> NDArray[np.float64]:
        rows = [getattr(each, name) for each in found]
        return np.array(rows, np.float64).reshape(len(rows), dimensions)

    return Seams(
        np.array(times),
        stacked("first"),
        stacked("largest"),
        stacked("rms"),
        stacked("jerk"),
        pairs=max(0, len(stamps) - 1),
    )

"""What the report tells of a recording, as numbers: everything but their looks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import SENSOR_RATE
from vla_inference_ros.report.chunks import Chunks, Gap
from vla_inference_ros.report.content import Content
from vla_inference_ros.report.rhythm import Rhythm, rhythm
from vla_inference_ros.report.seams import Seams, seams

ROBOT, SENSOR = "robot", "sensor"


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """``start`` and ``end`` [Unix s] of the recording; by stream (a view, ``robot``, ``sensor``),
    how evenly it came; the gaps between the chunks and their seams; ``latencies`` [s] by what they
    are of; and when each VLM update was there [Unix s].
    """

    start: float
    end: float
    streams: dict[str, NDArray[Any]]
    rhythms: dict[str, Rhythm]
    unchanged: dict[str, int]
    gaps: list[Gap]
    seams: Seams | None
    latencies: dict[str, NDArray[np.float64]]
    update_times: NDArray[np.float64]

    def rate(self, stream: str) -> float:
        """Items per second, from the first to the last; NaN of fewer than two."""
        rows = self.streams[stream]
        return mean_rate(rows["received"])


def analyse(content: Content) -> Analysis | None:
    """None if nothing was recorded."""
    span = content.span
    if span is None:
        return None
    streams = dict(content.views)
    for name, rows in ((ROBOT, content.states), (SENSOR, content.samples)):
        if len(rows):
            streams[name] = rows
    rhythms = {}
    for name, rows in streams.items():
        period = 1.0 / SENSOR_RATE if name == SENSOR else None
        rhythms[name] = rhythm(
            rows["own"], rows["stamp"], rows["received"], rows["digest"], period, span[1]
        )
    chunks = content.chunks
    return Analysis(
        *span,
        streams,
        rhythms,
        {view: _unchanged(rows) for view, rows in content.views.items()},
        chunks.gaps(content.holds, span[1]) if chunks else [],
        _seams(chunks) if chunks else None,
        _latencies(content, streams),
        _update_times(content),
    )


def mean_rate(times: NDArray[np.float64]) -> float:
    """Things per second, from the first to the last; NaN of fewer than two."""
    length = float(np.ptp(times)) if len(times) else 0.0
    return (len(times) - 1) / length if length > 0 else float("nan")


def _unchanged(rows: NDArray[Any]) -> int:
    """Pictures that are the one before, with a new time: what a camera that froze sends."""
    same = rows["digest"][1:] == rows["digest"][:-1]
    return int((same & (np.diff(rows["own"]) > 0)).sum())


def _seams(chunks: Chunks) -> Seams:
    step_dt = np.where(chunks.rows["step_dt"] > 0, chunks.rows["step_dt"], chunks.period)
    return seams(chunks.rows["stamp"], chunks.rows["actions"], step_dt)


def _latencies(
    content: Content, streams: dict[str, NDArray[Any]]
) -> dict[str, NDArray[np.float64]]:
    """Only those of which there is a value."""
    found: dict[str, NDArray[np.float64]] = {}
    if content.chunks is not None:
        found["action expert, a step"] = content.chunks.rows["inference_time"]
    found["VLM, an update"] = content.updates["finished"] - content.updates["started"]
    if content.chunks is not None:
        found["between chunks, off nominal"] = content.chunks.jitter()
    for name, rows in streams.items():
        found[f"{name}, acquisition to receipt"] = rows["received"] - rows["stamp"]
    return {name: values for name, values in found.items() if np.isfinite(values).any()}


def _update_times(content: Content) -> NDArray[np.float64]:
    """When each update was finished, or else, when the first chunk was made with it."""
    if len(content.updates):
        return content.updates["finished"]
    if content.chunks is None:
        return np.empty(0)
    rows = content.chunks.rows
    fresh = np.diff(rows["vl_update_number"], prepend=np.nan) != 0
    return rows["stamp"][fresh & (rows["vl_update_number"] > 0)]

"""What a recorded action chunk is, and what it says that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.window import FILLS
from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import Recording, Result, float32_numbers

SAME_TIME = 2e-6  # two records of one time differ by no more: a CSV has microseconds [s]
LATEST = 1.0  # after a chunk's tick; what it was computed from had been recorded by then [s]

Thing = TypeVar("Thing")


class NotRecordedError(Exception):
    """What a chunk was computed from is not in the recording; the message is the kind of reason."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordedChunk:
    """An action chunk for the instant ``timestamp`` [Unix s].

    ``actions`` (horizon, action_dim) float32 have a name a column. ``view_stamps`` [Unix s] are
    keyed by view, in the order in which the model took them. ``mask`` (length,) bool tells which
    rows of the sensor window are samples, acquired from ``sensor_first`` to ``sensor_last``
    [Unix s]; rows between them are filled as ``fill`` says.
    """

    chunk_id: int
    timestamp: float
    actions: NDArray[np.float32]
    action_names: tuple[str, ...]
    model_id: str
    features_model_id: str
    instruction: str
    update_id: int
    reuse: tuple[int, int]
    view_stamps: dict[str, float]
    sensor_first: float
    sensor_last: float
    mask: NDArray[np.bool_]
    fill: str


def recorded_chunk(result: Result) -> RecordedChunk:
    """A recording's result. OddError if it lacks what a recomputation needs."""
    try:
        chunk = RecordedChunk(
            chunk_id=int(result["chunk_id"]),
            timestamp=float(result["timestamp"]),
            actions=float32_numbers(result["actions"]),
            action_names=tuple(result["action_names"]),
            model_id=str(result["model_id"]),
            features_model_id=str(result["features_model_id"]),
            instruction=str(result["instruction"]),
            update_id=int(result["vl_update_number"]),
            reuse=(int(result["vl_reuse_index"]), int(result["vl_reuse_limit"])),
            view_stamps={view: float(at) for view, at in result["view_timestamps"].items()},
            sensor_first=float(result["sensor_first_timestamp"]),
            sensor_last=float(result["sensor_last_timestamp"]),
            mask=np.array(result["sensor_mask"], np.bool_),
            fill=str(result["sensor_fill"]),
        )
    except KeyError as error:
        raise OddError(
            "no lineage",
            f"an action chunk does not say its {error}, without which it cannot be computed again: "
            "was it recorded by an older version, or by another program?",
        ) from error
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise OddError(
            "not readable", f"action chunk {result.get('chunk_id')} cannot be read: {error}"
        ) from error
    if chunk.actions.ndim != 2 or chunk.actions.shape[1] != len(chunk.action_names):
        raise OddError(
            "action names that do not fit",
            f"action chunk {chunk.chunk_id} has actions of shape {chunk.actions.shape}, but "
            f"{len(chunk.action_names)} action names",
        )
    times = (chunk.timestamp, chunk.sensor_first, chunk.sensor_last, *chunk.view_stamps.values())
    if not all(map(math.isfinite, times)):
        raise OddError("not finite", f"action chunk {chunk.chunk_id} has a time that is not finite")
    if chunk.mask.ndim != 1 or not chunk.mask[-1:].any():
        raise OddError(
            "no samples",
            f"action chunk {chunk.chunk_id} has a sensor_mask whose last row is no sample",
        )
    if chunk.fill not in FILLS:
        raise OddError(
            "unknown sensor_fill",
            f"action chunk {chunk.chunk_id} has sensor_fill {chunk.fill!r}, not one of "
            f"{', '.join(FILLS)}",
        )
    return chunk


def recorded_chunks(recording: Recording, results: Iterable[Result]) -> Iterator[RecordedChunk]:
    """Those results of a recording that can be computed again; RecordingError if none can."""
    leaving = recording.odd.reading("replayed action chunks")
    first: OddError | None = None
    is_any = False
    for result in results:
        try:
            chunk = recorded_chunk(result)
        except OddError as error:
            first = first or error
            leaving.out(error)
            continue
        is_any = True
        yield chunk
    if first is not None and not is_any:
        raise first


class UpTo(Generic[Thing]):
    """Hands out things in their order, up to a time that is named from call to call.

    Of things that have two times, of acquisition and of receipt, the earlier one is to be taken: a
    sender's clock may be ahead, and a recorder's by years if the run was by simulated time.
    """

    def __init__(self, things: Iterator[Thing], time: Callable[[Thing], float]) -> None:
        self._things, self._time = things, time
        self._next = next(things, None)

    def __call__(self, time: float) -> Iterator[Thing]:
        """Those up to ``time`` [Unix s] that have not been handed out yet."""
        while self._next is not None and self._time(self._next) <= time:
            thing, self._next = self._next, next(self._things, None)
            yield thing

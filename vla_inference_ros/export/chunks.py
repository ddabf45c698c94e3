"""An action chunk of a recording, checked: what it must hold to be exported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.recording.recording import Recording, RecordingError, Result, float32_numbers

_LARGEST = sys.float_info.max  # a JSON file's whole number may be beyond it


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Step 0 is for ``time`` [Unix s], the next ones ``step_dt`` [s] after each other, 0 if that is
    not known. ``actions`` and ``delta`` (steps, actions) float32; ``names`` of the actions.
    ``result`` is all that was saved of it.
    """

    time: float
    step_dt: float
    actions: NDArray[np.float32]
    delta: NDArray[np.float32]
    names: tuple[str, ...]
    result: Result


def chunks(recording: Recording) -> Iterator[Chunk]:
    """All action chunks, which have the same shape and names; raises RecordingError."""
    first: Chunk | None = None
    for number, result in enumerate(recording.results(), 1):
        where = f"{recording.path}: action chunk {number}"
        chunk = _chunk(result, where)
        first = first or chunk
        if chunk.actions.shape != first.actions.shape or chunk.names != first.names:
            raise RecordingError(
                f"{where} has {_form(chunk)}, but those before have {_form(first)}: were two runs "
                "saved together?"
            )
        yield chunk


def _chunk(result: Result, where: str) -> Chunk:
    actions = _steps(result, "actions", where)
    delta = _steps(result, "delta", where)
    if delta.shape != actions.shape:
        raise RecordingError(
            f"{where}: delta is of shape {delta.shape}, but actions of {actions.shape}"
        )
    names = tuple(map(str, result.get("action_names") or ACTION_NAMES))
    if len(names) != actions.shape[1] or len(set(names)) != len(names):
        raise RecordingError(
            f"{where} has {actions.shape[1]} actions a step, which its action_names do not name: "
            f"{', '.join(names)}"
        )
    time = _number(result.get("timestamp"), "timestamp", where)
    step_dt = _number(result.get("step_dt", 0.0), "step_dt", where)
    return Chunk(time, step_dt, actions, delta, names, result)


def _steps(result: Result, key: str, where: str) -> NDArray[np.float32]:
    try:
        steps = float32_numbers(result.get(key))
    except (TypeError, ValueError):  # ragged, or no numbers
        steps = np.zeros(0, np.float32)
    if steps.ndim != 2 or not steps.size or not np.isfinite(steps).all():
        raise RecordingError(f"{where}: {key} is no list of steps that are equally many numbers")
    return steps


def _number(value: object, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise RecordingError(f"{where}: {key} is {value!r}, which is no number")
    return float(value)


def _form(chunk: Chunk) -> str:
    steps, actions = chunk.actions.shape
    return f"{steps} steps of {actions} actions ({', '.join(chunk.names)})"

"""An action chunk of a recording, checked: what it must hold to be exported."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import Recording, Result, float32_numbers

_LOOKED_AT = 100  # usable chunks at the beginning, that tell what most are like
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
    """All action chunks that have the shape and the names which most have at the beginning; others
    are left out, as odd. Raises RecordingError, also if all are odd.
    """
    leaving = recording.odd.reading("exported action chunks")
    first_error: OddError | None = None

    def usable() -> Iterator[Chunk]:
        nonlocal first_error
        for number, result in enumerate(recording.results(), 1):
            try:
                chunk = _chunk(result, f"{recording.path}: action chunk {number}")
            except OddError as error:
                first_error = first_error or error
                leaving.out(error)
            else:
                yield chunk

    found = usable()
    beginning = list(islice(found, _LOOKED_AT))
    if not beginning:
        if first_error is not None:
            raise first_error
        return
    usual = Counter(map(_form, beginning)).most_common(1)[0][0]
    for chunk in chain(beginning, found):
        if _form(chunk) == usual:
            yield chunk
        else:
            what = (
                f"{recording.path}: the action chunk for {chunk.time:.6f} has {_form(chunk)}, but "
                f"most have {usual}: were two runs saved together?"
            )
            leaving.out(OddError("another form", what))


def _chunk(result: Result, where: str) -> Chunk:
    actions = _steps(result, "actions", where)
    delta = _steps(result, "delta", where)
    if delta.shape != actions.shape:
        raise OddError(
            "another form",
            f"{where}: delta is of shape {delta.shape}, but actions of {actions.shape}",
        )
    given = result.get("action_names") or ACTION_NAMES
    names = tuple(map(str, given)) if isinstance(given, list | tuple) else (str(given),)
    if len(names) != actions.shape[1] or len(set(names)) != len(names):
        raise OddError(
            "action names that do not fit",
            f"{where} has {actions.shape[1]} actions a step, which its action_names do not name: "
            f"{', '.join(names)}",
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
        raise OddError(
            "no actions", f"{where}: {key} is no list of steps that are equally many numbers"
        )
    return steps


def _number(value: object, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise OddError("not a number", f"{where}: {key} is {value!r}, which is no number")
    return float(value)


def _form(chunk: Chunk) -> str:
    steps, actions = chunk.actions.shape
    return f"{steps} steps of {actions} actions ({', '.join(chunk.names)})"

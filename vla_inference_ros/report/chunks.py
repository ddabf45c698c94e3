"""What the report keeps of the action chunks, and its verdict: OK, DEGRADED, or none at all."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import EARLIEST_TIME, LATEST_TIME
from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import Result, float32_numbers
from vla_inference_ros.report.holds import Hold, reason_between
from vla_inference_ros.report.rhythm import QUIET_END
from vla_inference_ros.report.rows import Rows

AGES = ("features_age", "sensor_age", "robot_age")
_NUMBERS = (  # of a result; NaN in those that do not say
    "inference_time",
    "step_dt",
    "vl_update_number",
    "chunk_id",
    "sensor_missing",
    "valid_steps",
    *AGES,
)
_FAR = 1e12  # no number of a chunk is that large
_GAP = 1.5  # periods after which a chunk is missing
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?")
_MOST_KINDS = 200  # of reasons; further ones are counted together
_OTHERS = "other reasons"
NOT_RECORDED = "made, but not recorded"
SAID = ("instruction", "features_model_id", "model_id")  # by all chunks but those of older folders


@dataclass(slots=True)
class Reason:
    """A kind of reason, the numbers in it left out: the chunks that had it, and how it first
    read.
    """

    example: str
    chunks: array[int] = field(default_factory=lambda: array("Q"))


@dataclass(frozen=True, slots=True, eq=False)
class Chunks:
    """The action chunks in the order in which they were recorded.

    ``rows`` (n,) have the fields stamp [Unix s], actions (H, D), those of ``_NUMBERS``, and
    verdict: 0 OK, 1 DEGRADED, -1 not said. Ages [s] are NaN where there was no such input, and
    so is every number that is not finite.
    ``view_ages`` (n,) [s] is how old each view's picture was. ``said`` counts for each of ``SAID``
    the texts that chunks have there. ``odd`` chunks are left out: they have no usable time, or
    actions of another shape than the others.
    """

    rows: NDArray[Any]
    names: tuple[str, ...]
    view_ages: dict[str, NDArray[np.float64]]
    reasons: dict[str, Reason]
    said: dict[str, Counter[str]]
    odd: int

    @property
    def period(self) -> float:
        """The nominal time between two chunks [s], or else the median."""
        said = self.rows["step_dt"][self.rows["step_dt"] > 0]
        times = said if len(said) else np.diff(self.rows["stamp"])
        return float(np.median(times)) if len(times) else float("nan")

    @property
    def ok(self) -> int:
        """How many are OK."""
        return int((self.rows["verdict"] == 0).sum())

    @property
    def degraded(self) -> int:
        """How many are DEGRADED."""
        return int((self.rows["verdict"] == 1).sum())

    def jitter(self) -> NDArray[np.float64]:
        """How far the time between each chunk and the next is from nominal (m,) [s], without
        the gaps.
        """
        intervals = np.diff(self.rows["stamp"])
        kept = intervals[(intervals > 0) & (intervals <= _GAP * self.period)]
        return np.abs(kept - self.period)

    def gaps(self, said: list[Hold], end: float) -> list[Gap]:
        """Where chunks are missing until the recording's ``end`` [Unix s], in order; ``said`` is
        what the monitor said of why.
        """
        stamps, ids, period = self.rows["stamp"], self.rows["chunk_id"], self.period
        found = []
        for index in np.flatnonzero(np.diff(stamps) > _GAP * period):
            length = float(stamps[index + 1] - stamps[index])
            cause = _cause(float(ids[index + 1] - ids[index]))
            reason = reason_between(said, float(stamps[index]), float(stamps[index + 1]))
            if reason and cause != NOT_RECORDED:
                cause = f"held back: {reason}"
            missing = round(length / period) - 1
            found.append(Gap(float(stamps[index]), length, missing, cause))
        return found + self._last_gap(said, end)

    def _last_gap(self, said: list[Hold], end: float) -> list[Gap]:
        last = float(self.rows["stamp"][-1])
        if not end - last > max(QUIET_END, _GAP * self.period):
            return []
        reason = reason_between(said, last, end)
        cause = f"held back: {reason}" if reason else "none came until the end"
        missing = int((end - last) / self.period) if self.period > 0 else 0
        return [Gap(last, end - last, missing, cause)]


@dataclass(frozen=True, slots=True)
class Gap:
    """``length`` [s] from the chunk at ``start`` [Unix s] to the next or to the end, with
    ``missing`` ticks in between that have none, and why that is, as far as it is known.
    """

    start: float
    length: float
    missing: int
    cause: str


def kind_of(reason: str) -> str:
    """The reason without its numbers."""
    return _NUMBER.sub("…", reason)


def _cause(ids_apart: float) -> str:
    if ids_apart == 1:
        return "none was made: held back, or too late"
    if ids_apart > 1:
        return NOT_RECORDED
    return "the action expert was restarted" if ids_apart < 1 else "not known"


def usual_shape(results: Iterable[Result]) -> tuple[int, ...]:
    """The shape that the actions of most of these have; () if none has any."""
    shapes: Counter[tuple[int, ...]] = Counter()
    for result in results:
        with suppress(TypeError, ValueError):  # of a result that is odd; adding it tells
            shapes[float32_numbers(result.get("actions")).shape] += 1
    usable = [shape for shape, _ in shapes.most_common() if len(shape) == 2 and all(shape)]
    return usable[0] if usable else ()


class ChunksReader:
    """Takes chunks one by one."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        """``shape`` (steps, actions) is what chunks must have; () stands for the first one's."""
        self._rows: Rows | None = None
        self._shape = shape
        self._names: tuple[str, ...] = ()
        self._view_ages: dict[str, array[float]] = {}
        self._reasons: dict[str, Reason] = {}
        self._said: dict[str, Counter[str]] = {name: Counter() for name in SAID}
        self._odd = 0

    def add(self, result: Result) -> None:
        """The next chunk; OddError if it lacks what every reader of run folders needs, or is not
        like the others.
        """
        try:
            stamp = float(result["timestamp"])
            actions = float32_numbers(result["actions"])
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise OddError(
                "no actions",
                f"an action chunk has no usable timestamp and actions ({error!r}): was it edited?",
            ) from error
        if not self._shape:
            self._shape = _checked_shape(actions)
        if actions.shape != self._shape or not EARLIEST_TIME <= stamp <= LATEST_TIME:
            self._odd += 1
            raise OddError(
                "another form",
                f"an action chunk for {stamp} has actions of shape {actions.shape}; wanted is a "
                f"Unix time, and the shape {self._shape} of the others",
            )
        if self._rows is None:
            self._rows = self._begun(result)
        index = len(self._rows)
        numbers = {name: _number(result.get(name)) for name in _NUMBERS}
        for name in AGES:
            if numbers[name] == -1 or not _has_input(name, result):
                numbers[name] = float("nan")
        verdict = {"OK": 0, "DEGRADED": 1}.get(str(result.get("validity")), -1)
        actions = np.where(np.isfinite(actions), actions, np.nan)
        self._rows.append((stamp, actions, *numbers.values(), verdict))
        self._add_views(index, stamp, result.get("view_timestamps") or {})
        for reason in result.get("reasons") or ():
            self._add_reason(index, str(reason))
        for name, counts in self._said.items():
            if result.get(name):
                counts[str(result[name])] += 1

    def chunks(self) -> Chunks | None:
        """All that were added; None if there were none."""
        if self._rows is None:
            return None
        count = len(self._rows)
        views = {}
        for view, ages in sorted(self._view_ages.items()):
            views[view] = np.full(count, np.nan)
            views[view][: len(ages)] = ages
        return Chunks(self._rows.array(), self._names, views, self._reasons, self._said, self._odd)

    def _begun(self, result: Result) -> Rows:
        """No rows yet, but the names that the first chunk has for its actions."""
        fields: list[tuple[Any, ...]] = [("stamp", "<f8"), ("actions", "<f4", self._shape)]
        fields += [(name, "<f8") for name in _NUMBERS]
        names = tuple(map(str, result.get("action_names") or ()))
        count = self._shape[1]
        unnamed = tuple(f"action {number}" for number in range(1, count + 1))
        self._names = names if len(names) == count else unnamed
        return Rows(np.dtype([*fields, ("verdict", "i1")]))

    def _add_views(self, index: int, stamp: float, stamps: dict[str, Any]) -> None:
        for view, taken in stamps.items():
            ages = self._view_ages.setdefault(str(view), array("d"))
            ages.extend([float("nan")] * (index - len(ages)))
            ages.append(stamp - _number(taken))

    def _add_reason(self, index: int, reason: str) -> None:
        kind = kind_of(reason)
        if kind not in self._reasons and len(self._reasons) >= _MOST_KINDS:
            kind = _OTHERS
        chunks = self._reasons.setdefault(kind, Reason(reason)).chunks
        if not chunks or chunks[-1] != index:
            chunks.append(index)


def _checked_shape(actions: NDArray[np.float32]) -> tuple[int, ...]:
    if actions.ndim != 2 or not actions.size:
        raise OddError(
            "no actions",
            f"an action chunk has actions of shape {actions.shape}, not horizon x dimensions: "
            "was it edited?",
        )
    return actions.shape


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return float("nan")
    return float(value) if abs(value) < _FAR else float("nan")


def _has_input(age: str, result: Result) -> bool:
    """Whether there was an input to be of that age: a stamp of 0 says that none had come."""
    if age == "robot_age":
        return bool((result.get("robot_state") or {}).get("timestamp"))
    stamp = {"features_age": "features_timestamp", "sensor_age": "sensor_last_timestamp"}[age]
    return bool(result.get(stamp))

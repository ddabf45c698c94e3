"""How far recomputed action chunks are from the recorded ones: counted, and told to a person."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.replay.lineage import RecordedChunk
from vla_inference_ros.replay.updates import FeatureDifferences

_ROWS = 20  # of the table


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """A chunk whose largest ``error`` of a number is over the tolerance; infinite if a number was
    not finite. ``step`` and ``action`` are of the first number that is.
    """

    chunk: RecordedChunk
    error: float
    step: int
    action: int
    recomputed: float

    @property
    def recorded(self) -> float:
        """The number of the recording."""
        return float(self.chunk.actions[self.step, self.action])

    @property
    def name(self) -> str:
        """What the number is."""
        return self.chunk.action_names[self.action]


@dataclass(slots=True)
class Differences:
    """All chunks of a recording; of those over the tolerance the first ones in full."""

    tolerance: float
    compared: int = 0
    equal: int = 0
    largest: float = 0.0
    worst: int = 0  # the chunk of the largest error
    skipped: Counter[str] = field(default_factory=Counter)  # by reason
    model_ids: Counter[str] = field(default_factory=Counter)  # of the recorded experts, by chunks
    vlm_model_ids: Counter[str] = field(default_factory=Counter)  # of the recorded VLMs, likewise
    divergences: list[Divergence] = field(default_factory=list)

    @property
    def beyond(self) -> int:
        """How many chunks are over the tolerance."""
        return self.compared - self.equal

    def passes(self, strict: bool) -> bool:
        """Whether there were chunks and all were equal; ``strict``: none was skipped either."""
        return self.compared > 0 and not self.beyond and not (strict and self.skipped)

    def skip(self, chunk: RecordedChunk, reason: str) -> None:
        """A chunk that could not be computed again."""
        self._count_models(chunk)
        self.skipped[reason] += 1

    def compare(self, chunk: RecordedChunk, actions: NDArray[np.float32]) -> float:
        """The largest error of a chunk [the actions' units]."""
        if actions.shape != chunk.actions.shape:
            raise ModelError(
                f"the model gives chunks of {_size(actions)} numbers, chunk {chunk.chunk_id} has "
                f"{_size(chunk.actions)}: they cannot be compared"
            )
        self._count_models(chunk)
        self.compared += 1
        errors = np.abs(actions.astype(np.float64) - chunk.actions)
        errors[~np.isfinite(errors)] = math.inf
        error = float(errors.max())
        if error > self.largest:
            self.largest, self.worst = error, chunk.chunk_id
        if error <= self.tolerance:
            self.equal += 1
        elif len(self.divergences) < _ROWS:
            step, action = (int(number) for number in np.argwhere(errors > self.tolerance)[0])
            self.divergences.append(
                Divergence(chunk, error, step, action, float(actions[step, action]))
            )
        return error

    def _count_models(self, chunk: RecordedChunk) -> None:
        self.model_ids[chunk.model_id] += 1
        self.vlm_model_ids[chunk.features_model_id] += 1


@dataclass(frozen=True, slots=True)
class Models:
    """The ids of the models that were used now; without a VLM features were taken as recorded."""

    expert: str
    vlm: str | None


def report(differences: Differences, features: FeatureDifferences, models: Models) -> Iterator[str]:
    """The lines for a person."""
    yield from _models("action expert", differences.model_ids, models.expert)
    if models.vlm is None:
        yield f"{'VLM':14} none: features as recorded"
    else:
        yield from _models("VLM", differences.vlm_model_ids, models.vlm)
    yield ""
    yield from _table(differences)
    if differences.divergences:
        yield from _first(differences.divergences[0])
    yield from _summary(differences)
    if features.compared:
        yield (
            f"features: {features.compared} updates compared, {features.equal} equal within "
            f"{features.tolerance:g}; {_largest(features.largest, f'update {features.worst}')}"
        )


def _models(role: str, recorded: Counter[str], now: str) -> Iterator[str]:
    if recorded.keys() == {now}:
        yield f"{role:14} {now}, the recorded one"
        return
    for model_id, count in recorded.items():
        name = model_id or "one without a name"
        yield f"{role:14} recorded with {name}" + (f", {count} x" if len(recorded) > 1 else "")
    yield f"{role:14} compared with {now}   << NOT THE RECORDED ONE"


def _table(differences: Differences) -> Iterator[str]:
    if not differences.divergences:
        return
    yield f"{'chunk':>8} {'VLM update':>10} {'step 0 for [Unix s]':>20} {'max. error':>10}"
    for divergence in differences.divergences:
        chunk = divergence.chunk
        yield (
            f"{chunk.chunk_id:8} {chunk.update_id:10} {chunk.timestamp:20.6f} "
            f"{divergence.error:10.2e}"
        )
    more = differences.beyond - len(differences.divergences)
    if more:
        yield f"     ... and {more} more"
    yield ""


def _first(divergence: Divergence) -> Iterator[str]:
    chunk = divergence.chunk
    yield f"first divergence: chunk {chunk.chunk_id}, step {divergence.step}, {divergence.name}"
    yield (
        f"  recorded {divergence.recorded:.9g}, recomputed {divergence.recomputed:.9g}, "
        f"difference {divergence.recomputed - divergence.recorded:+.2e}"
    )
    index, limit = chunk.reuse
    yield f"  VLM update {chunk.update_id} ({index}/{limit}), of the pictures"
    for view, stamp in chunk.view_stamps.items():
        yield f"    {view} {stamp:.6f}"
    yield (
        f"  sensor samples {chunk.sensor_first:.6f} to {chunk.sensor_last:.6f}, "
        f"{int(chunk.mask.sum())} of {len(chunk.mask)} rows, fill {chunk.fill}"
    )
    yield ""


def _summary(differences: Differences) -> Iterator[str]:
    skipped = sum(differences.skipped.values())
    total = differences.compared + skipped
    yield (
        f"{differences.compared} of {total} chunks compared: {differences.equal} equal within "
        f"{differences.tolerance:g}, {differences.beyond} beyond"
        + (
            f"; {_largest(differences.largest, f'chunk {differences.worst}')}"
            if differences.compared
            else ""
        )
    )
    if skipped:
        yield f"{skipped} NOT compared:"
        for reason, count in sorted(differences.skipped.items()):
            yield f"  {count}: {reason}"


def _largest(error: float, where: str) -> str:
    return f"largest error {error:.2e} ({where})" if error else "no difference at all"


def _size(actions: NDArray[np.float32]) -> str:
    return " x ".join(map(str, actions.shape))

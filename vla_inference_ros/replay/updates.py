"""The vision-language features of a recorded action chunk: as recorded, or computed again."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import FeatureModel, FrameError
from vla_inference_ros.recording.recording import Features
from vla_inference_ros.replay.lineage import (
    LATEST,
    SAME_TIME,
    NotRecordedError,
    RecordedChunk,
    UpTo,
)
from vla_inference_ros.replay.pictures import RecordedPictures

_KEPT = 16  # updates; a chunk is made from one of the newest


class RecordedUpdates:
    """Walks through a recording's VLM updates along with its chunks."""

    def __init__(self, features: Iterator[Features]) -> None:
        self._features = UpTo(features, lambda update: update.finished)
        self._kept: deque[Features] = deque(maxlen=_KEPT)

    def of(self, chunk: RecordedChunk) -> Features:
        """The update that a chunk was made from. NotRecordedError if it is missing."""
        found = self._among_kept(chunk)
        if found is None:
            for update in self._features(chunk.timestamp + LATEST):
                self._kept.append(update)
                found = found or self._among_kept(chunk)
        if found is None:
            raise NotRecordedError("its VLM update is not in the recording")
        return found

    def _among_kept(self, chunk: RecordedChunk) -> Features | None:
        for update in reversed(self._kept):
            if update.update_id == chunk.update_id and _same(update.view_stamps, chunk.view_stamps):
                return update
        return None


def _same(a: dict[str, float], b: dict[str, float]) -> bool:
    return a.keys() == b.keys() and all(abs(a[view] - b[view]) <= SAME_TIME for view in a)


@dataclass(slots=True)
class FeatureDifferences:
    """How far features are from the recorded ones: of ``compared`` updates ``equal`` ones are
    within the tolerance. ``largest`` is the largest difference of a number, of update ``worst``.
    """

    tolerance: float
    compared: int = 0
    equal: int = 0
    largest: float = 0.0
    worst: int = 0

    def note(self, recorded: Features, found: NDArray[np.float32]) -> None:
        """Compare an update's features."""
        difference = math.inf
        if found.shape == recorded.data.shape:
            difference = float(np.abs(found - recorded.data).max())
        difference = difference if math.isfinite(difference) else math.inf
        self.compared += 1
        self.equal += difference <= self.tolerance
        if difference > self.largest:
            self.largest, self.worst = difference, recorded.update_id


class RecomputedUpdates:
    """Computes features again, once for each update."""

    def __init__(
        self,
        pictures: RecordedPictures,
        recorded: RecordedUpdates | None,
        model: FeatureModel,
        instruction: str | None,
        differences: FeatureDifferences,
    ) -> None:
        """``recorded`` is None if the recording has no features to compare with. ``instruction``
        replaces the recorded ones.
        """
        self._pictures, self._recorded = pictures, recorded
        self._model, self._instruction = model, instruction
        self._differences = differences
        self._key: object = None  # of the last update
        self._values: NDArray[np.float32] | None = None
        self._reason = ""  # why it has none

    def of(self, chunk: RecordedChunk) -> NDArray[np.float32]:
        """(1, S, V) float32 of the update that a chunk was made from.

        NotRecordedError if the recording lacks what it was computed from.
        """
        key = (chunk.update_id, *chunk.view_stamps.items())
        if key != self._key:
            self._key, self._values, self._reason = key, None, ""
            try:
                self._values = self._compute(chunk)
            except NotRecordedError as error:
                self._reason = str(error)
        if self._values is None:
            raise NotRecordedError(self._reason)
        return self._values

    def _compute(self, chunk: RecordedChunk) -> NDArray[np.float32]:
        views = self._pictures.views(chunk.view_stamps, chunk.timestamp)
        recorded = self._recorded.of(chunk) if self._recorded else None
        instruction = chunk.instruction if self._instruction is None else self._instruction
        try:
            values = self._model.features(views, instruction)
        except FrameError as error:
            raise NotRecordedError(f"a picture of {error.view} cannot be decoded") from error
        if recorded:
            self._differences.note(recorded, values)
        return values

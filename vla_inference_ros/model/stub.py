"""Provides ``model:=stub``: no network, but a set duration and output that follows the input.

Owns how long a call takes and what it makes up. Needs neither torch nor a GPU.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import (
    ACTION_NAMES,
    HORIZON,
    ActionSteps,
    ModelError,
    View,
)
from vla_inference_ros.model.picture import check

FEATURE_SIZE = 2048
_NEWEST = 8  # samples at the window's end that the actions follow
_STRIDE = 64  # bytes: enough to tell two pictures apart, for microseconds
_AWAKE = 0.002  # at the end of a step, as a GPU's driver waits for its kernels [s]


class StubFeatures:
    """A :class:`FeatureModel` that takes ``seconds`` of wall time and only checks its pictures."""

    model_id = "stub (no network)"
    decode_time = 0.0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def features(self, views: Sequence[View], instruction: str) -> NDArray[np.float32]:
        """(1, 1, 2048) float32 within -1..1, a few sines set by every view and the instruction.

        Raises :class:`FrameError` for a picture that cannot be decoded.
        """
        started = time.monotonic()
        end = started + self._seconds
        if not views:
            raise ModelError("no views: the model needs at least one picture")
        checksum = zlib.crc32(instruction.encode())
        for view in views:
            check(view)
            picture = view.picture
            if isinstance(picture, np.ndarray):
                checksum = zlib.crc32(picture[::_STRIDE].tobytes(), checksum)
            else:
                checksum = zlib.crc32(picture[::_STRIDE], checksum)
        self.decode_time = time.monotonic() - started
        phases = np.frombuffer(checksum.to_bytes(4, "little"), dtype=np.uint8) * (2 * np.pi / 256)
        positions = np.linspace(0.0, 2 * np.pi, FEATURE_SIZE)
        waves = np.arange(1, 5)[:, np.newaxis] * positions + phases[:, np.newaxis]
        feature: NDArray[np.float32] = np.sin(waves).mean(axis=0, dtype=np.float32)
        _sleep_until(end)
        return feature.reshape(1, 1, FEATURE_SIZE)


class StubPolicy:
    """An :class:`ActionModel` that takes ``seconds`` of wall time, and hardly any of the CPU's."""

    model_id = "stub (no network)"
    feature_size = FEATURE_SIZE

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def act(self, features: NDArray[np.float32], window: NDArray[np.float32]) -> ActionSteps:
        """(8, 7) sines within -1..1 of the features and of the newest samples."""
        end = time.monotonic() + self._seconds
        phase = float(features[..., ::_STRIDE].sum()) + float(window[-_NEWEST:].mean())
        steps = np.arange(HORIZON)[:, np.newaxis] / HORIZON
        actions = (0.9 * np.sin(phase + steps + np.arange(len(ACTION_NAMES)))).astype(np.float32)
        _sleep_until(end)
        return ActionSteps(actions=actions, delta=actions)


def _sleep_until(end: float) -> None:
    while (left := end - time.monotonic()) > 0:
        if left > _AWAKE:
            time.sleep(left - _AWAKE)

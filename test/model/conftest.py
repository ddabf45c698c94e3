from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vla_inference_ros.model.interface import VIEWS, View


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """Makes a smooth scene with some noise, (height, width, 3) uint8, one per seed."""

    def make(seed: int, width: int = 1280, height: int = 720) -> np.ndarray:
        random = np.random.default_rng(seed)
        coarse = random.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
        noisy: np.ndarray = np.clip(smooth + random.integers(-8, 9, smooth.shape), 0, 255)
        return noisy.astype(np.uint8)

    return make


@pytest.fixture
def jpeg(pixels: Callable[..., np.ndarray]) -> Callable[..., bytes]:
    """Makes the JPEG of a scene."""

    def make(seed: int, width: int = 1280, height: int = 720) -> bytes:
        bgr = cv2.cvtColor(pixels(seed, width, height), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()

    return make


@pytest.fixture
def views(jpeg: Callable[..., bytes]) -> list[View]:
    """Five views of 1280x720, as the cameras send them."""
    return [View(name, 1.7e9 + i, jpeg(i)) for i, name in enumerate(VIEWS)]

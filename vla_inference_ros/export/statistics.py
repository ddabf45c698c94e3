"""What LeRobot wants to know of each feature: least, greatest, mean, deviation and quantiles.

Gathered number by number in bounded memory. The names are those of LeRobot's ``meta/stats.json``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.pictures import decode

QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
_KEPT = 4096  # frames whose numbers are kept for the quantiles
_SIDE = 150  # pixels of a picture's longer side that are looked at, at least
_LEVELS = 256  # of a pixel

Statistics = dict[str, list[Any]]


class NumberStatistics:
    """Of a feature of ``size`` numbers. Exact, but for the quantiles of more than 4096 frames:
    those are of every second, fourth, ... of them.
    """

    def __init__(self, size: int, whole: bool = False) -> None:
        """``whole`` numbers have such a least and a greatest one."""
        self._whole = whole
        self._frames = self._rows = 0
        self._least, self._greatest = np.full(size, np.inf), np.full(size, -np.inf)
        self._mean, self._squares = np.zeros(size), np.zeros(size)
        self._kept: list[NDArray[np.float64]] = []
        self._every = 1

    def add(self, values: NDArray[Any]) -> None:
        """A frame's numbers: (size,), or (n, size) for n steps."""
        rows = np.asarray(values, np.float64).reshape(-1, len(self._mean))
        self._least = np.minimum(self._least, rows.min(axis=0))
        self._greatest = np.maximum(self._greatest, rows.max(axis=0))
        for row in rows:  # Welford's: no difference of large numbers
            self._rows += 1
            deviation = row - self._mean
            self._mean += deviation / self._rows
            self._squares += deviation * (row - self._mean)
        if self._frames % self._every == 0:
            self._kept.append(rows)
            if len(self._kept) == _KEPT:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self._frames += 1

    def result(self) -> Statistics:
        """Lists of ``size`` numbers, and how many frames there were. There must have been one."""
        quantiles = np.quantile(np.concatenate(self._kept), QUANTILES, axis=0)
        return {
            "min": self._extreme(self._least),
            "max": self._extreme(self._greatest),
            "mean": self._mean.tolist(),
            "std": np.sqrt(self._squares / self._rows).tolist(),
            "count": [self._frames],
            **dict(zip(quantile_names(), quantiles.tolist(), strict=True)),
        }

    def _extreme(self, numbers: NDArray[np.float64]) -> list[Any]:
        found: list[Any] = (numbers.astype(np.int64) if self._whole else numbers).tolist()
        return found


class PictureStatistics:
    """Of a view's pictures, by channel, from 0 to 1. Exact for the pixels that are looked at."""

    def __init__(self) -> None:
        self._pictures = 0
        self._levels = np.zeros((3, _LEVELS), np.int64)

    def add(self, levels: NDArray[np.int64]) -> None:
        """A picture's :func:`levels_of`."""
        self._levels += levels
        self._pictures += 1

    def result(self) -> Statistics:
        """Lists of shape (3, 1, 1), and how many pictures there were. There must have been one."""
        values = np.arange(_LEVELS) / (_LEVELS - 1)
        count = self._levels.sum(axis=1)
        mean = self._levels @ values / count
        deviation = np.sqrt(np.maximum(0.0, self._levels @ values**2 / count - mean**2))
        reached = np.cumsum(self._levels, axis=1) / count[:, np.newaxis]
        found = {
            "min": values[np.argmax(self._levels > 0, axis=1)],
            "max": values[_LEVELS - 1 - np.argmax(self._levels[:, ::-1] > 0, axis=1)],
            "mean": mean,
            "std": deviation,
        }
        for name, quantile in zip(quantile_names(), QUANTILES, strict=True):
            found[name] = values[np.argmax(reached >= quantile, axis=1)]
        lists: Statistics = {name: each.reshape(3, 1, 1).tolist() for name, each in found.items()}
        return lists | {"count": [self._pictures]}


def levels_of(picture: bytes) -> NDArray[np.int64]:
    """How often each level occurs in each channel of a picture, (3, 256) in the order red, green,
    blue, of every n-th pixel of a large one. ValueError if it is damaged.
    """
    decoded = decode(picture).pixels
    step = max(1, max(decoded.shape[:2]) // _SIDE)
    pixels = decoded[::step, ::step].reshape(-1, 3)
    counts = [np.bincount(pixels[:, channel], minlength=_LEVELS) for channel in range(3)]
    return np.stack(counts).astype(np.int64)


def quantile_names() -> tuple[str, ...]:
    """Such as q01, in the order of QUANTILES."""
    return tuple(f"q{round(100 * quantile):02d}" for quantile in QUANTILES)

"""Tells inputs that are alive from dead ones whose stamps go on, by their content.

A live camera never gives the same pixels twice, nor a live sensor the same samples: there is noise
in each. Owns what is compared and the limits. Does not own decoding, nor what follows from it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.troubles import BLANK, REPEATED_PICTURES, UNCHANGED

LOOK_PERIOD = 0.19  # between two looks at a view [s]; no whole number of the usual frame periods
DEAD_AFTER = 0.3  # what lasts for so long, in the pictures' own time, is no chance [s]
SENSOR_DEAD_AFTER = 0.5  # [s]

_MEMORY = 3.0  # of pictures that may come again; and more is time that was set back [s]
_GRID = (16, 9)  # cells, across and down
_LEAST_CONTRAST = 4.0  # levels of 255 between the darkest and the brightest cells, but for 5 %
_LIKENESS = 2.0  # levels by which cells of one picture, coded twice, differ at most, on average
_SAMPLED = 16  # of an A-scan's points one in so many is remembered
_SCANS_KEPT = 2000  # A-scans that may come again: three seconds of them


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A picture's content: ``stamp`` [Unix s], a ``digest`` of all its pixels and its ``grid`` of
    mean brightness (9, 16), 0 to 255.
    """

    stamp: float
    digest: int
    grid: NDArray[np.float32]

    @classmethod
    def of(cls, stamp: float, pixels: NDArray[np.uint8]) -> Look:
        """``pixels`` (H, W) are a picture's brightness."""
        grid = cv2.resize(pixels, _GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cls(stamp, hash((pixels.shape, pixels.tobytes())), grid)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is to be seen: all black, all white, nothing but noise."""
        darkest, brightest = np.percentile(self.grid, (5, 95))
        return bool(brightest - darkest < _LEAST_CONTRAST)

    def is_like(self, other: Look) -> bool:
        """Whether both are one picture, perhaps coded twice."""
        return bool(np.abs(self.grid - other.grid).mean() < _LIKENESS)


class ViewLife:
    """What is dead about one view's pictures."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque()
        self._seeing: float | None = None  # stamp of the last picture that was not blank
        self._first = 0.0

    @property
    def newest(self) -> Look | None:
        """The last look."""
        return self._looks[-1] if self._looks else None

    def add(self, look: Look) -> list[str]:
        """Take the next picture; its troubles, in words of ``core.troubles``."""
        if not self._looks or look.stamp < self._looks[-1].stamp:  # or time was set back
            self._looks.clear()
            self._first, self._seeing = look.stamp, None
        elif look.stamp == self._looks[-1].stamp:
            self._looks.pop()  # the same picture, looked at again
        while self._looks and self._looks[0].stamp < look.stamp - _MEMORY:
            self._looks.popleft()
        self._looks.append(look)
        if not look.is_blank:
            self._seeing = look.stamp
        since = self._first if self._seeing is None else self._seeing
        blank = look.is_blank and look.stamp - since >= DEAD_AFTER
        return [what for what in (self._repetition(look), BLANK if blank else "") if what]

    def _repetition(self, look: Look) -> str:
        """What it is that came again."""
        for before in self._looks:
            if look.stamp - before.stamp < DEAD_AFTER:
                break
            if before.digest == look.digest:
                between = {each.digest for each in self._looks if each.stamp >= before.stamp}
                return UNCHANGED if len(between) == 1 else REPEATED_PICTURES
        return ""


class Twins:
    """Views that show one and the same picture, as when one camera feeds several."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}  # stamp from which two are alike [Unix s]

    def add(self, looks: Mapping[str, Look]) -> list[tuple[str, str]]:
        """Take the newest look of each view; the pairs of views that are alike for long enough."""
        found = []
        for pair in itertools.combinations(looks, 2):
            one, other = (looks[view] for view in pair)
            near = abs(one.stamp - other.stamp) < _MEMORY
            if not near or one.is_blank or other.is_blank or not one.is_like(other):
                self._since.pop(pair, None)
                continue
            newest = max(one.stamp, other.stamp)
            since = self._since.setdefault(pair, newest)
            if newest < since:  # time was set back
                self._since[pair] = since = newest
            if newest - since >= DEAD_AFTER:
                found.append(pair)
        return found


class SensorLife:
    """Whether the sensor's A-scans are alive. The force may stand still, as with a needle at rest;
    each A-scan has a thousand points and noise in all of them.
    """

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}  # the A-scans of late, in the order of coming
        self._newest = 0.0  # time of the newest sample, and of the last that was new [Unix s]
        self._alive: float | None = None

    def add(self, times: NDArray[np.float64], ascan: NDArray[np.float32]) -> None:
        """Take samples: times (n,) [Unix s], ascan (n, K)."""
        for time, points in zip(times.tolist(), ascan[:, ::_SAMPLED], strict=True):
            content = points.tobytes()
            is_new = content not in self._seen
            if not is_new:
                del self._seen[content]
            self._seen[content] = None
            if is_new or self._alive is None or time < self._alive - _MEMORY:  # or time set back
                self._alive = time
            self._newest = time
        while len(self._seen) > _SCANS_KEPT:
            del self._seen[next(iter(self._seen))]

    @property
    def is_dead(self) -> bool:
        """Whether for ``SENSOR_DEAD_AFTER`` no A-scan was new."""
        return self._alive is not None and self._newest - self._alive >= SENSOR_DEAD_AFTER

"""Tells inputs that are alive from dead ones whose stamps go on, by their content.

A live camera never gives the same pixels twice, nor a live sensor the same samples: there is noise
in each. Owns what is compared and the limits. Does not own decoding, how long content is remembered
(``renewal``), nor what follows from it.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.renewal import Renewal
from vla_inference_ros.core.troubles import (
    BLANK,
    REPEATED_PICTURES,
    UNCHANGED,
    other_size,
)

LOOK_PERIOD = 0.19  # between two looks at a view [s]; no whole number of the usual frame periods
DEAD_AFTER = 0.3  # what lasts for so long, in the pictures' own time, is no chance [s]
SENSOR_DEAD_AFTER = 0.3  # as old as a sample may be [s]

# How much older than its stamp content may be, now and then: a device that gives 5 pictures/s or 20
# A-scans/s is within, however often a quicker sender repeats them [s].
_TOLERATED, _SENSOR_TOLERATED = 0.17, 0.05
_NEAR = 3.0  # stamps of two views that are compared [s]
_LATEST_TWIN = 1.0  # by how much one may be behind the other [s]
_GRID = (16, 9)  # cells, across and down
_LEAST_CONTRAST = 4.0  # levels of 255 between the darkest and the brightest cells, but for 5 %
_LEAST_DETAIL = 2.0  # likewise, of what is left without light that falls off evenly
_DEGREE = 4  # of that, as a polynomial of the place
_LIKENESS = 2.0  # levels by which cells of one picture, coded twice, differ at most, on average
_TEXTURE = 8  # levels within a cell that must show a camera's noise
_LEAST_TEXTURED = 16  # cells, or nothing can be said
_FEW_ROWS = 45  # of a picture, for a first comparison
_STILL = 0.8  # share of them exactly as before, in a dead picture with a clock in it
_SAMPLED = 16  # of an A-scan's points one in so many is looked at
_SAME_SCAN = 1e-4  # difference of a point from the scan before, of the scan's spread
_MOST_MOVED = 1  # points that differ by more, in a dead scan


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A picture's content: ``stamp`` [Unix s], its ``size`` (width, height) as it came, a
    ``digest`` of all its ``pixels`` (H, W), which may be reduced, and its ``grid`` of mean
    brightness (9, 16), 0 to 255.
    """

    stamp: float
    size: tuple[int, int]
    digest: int
    pixels: NDArray[np.uint8]
    grid: NDArray[np.float32]

    @classmethod
    def of(
        cls, stamp: float, pixels: NDArray[np.uint8], size: tuple[int, int] | None = None
    ) -> Look:
        """``pixels`` (H, W) are a picture's brightness; ``size`` None is theirs."""
        grid = cv2.resize(pixels, _GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
        own = (pixels.shape[1], pixels.shape[0])
        return cls(stamp, size or own, hash((pixels.shape, pixels.tobytes())), pixels, grid)

    @property
    def is_blank(self) -> bool:
        """Whether nothing is to be seen: all black, all white, nothing but noise, or nothing but
        light that falls off evenly, as what comes through a cap does.
        """
        cells = self.grid.ravel()
        if _contrast(cells) < _LEAST_CONTRAST:
            return True
        return _contrast(cells - _EVEN @ cells) < _LEAST_DETAIL

    def is_still(self, before: Look) -> bool:
        """Whether it is the picture ``before`` but for a few cells, as with a clock written in: in
        each cell that has texture, a camera's noise changes some pixel.
        """
        if self.pixels.shape != before.pixels.shape:
            return False
        few = slice(None, None, max(1, len(self.pixels) // _FEW_ROWS))
        if np.count_nonzero(_same_cells(self.pixels[few], before.pixels[few])) < _LEAST_TEXTURED:
            return False  # as ever with a live camera, and soon found
        is_same = _same_cells(self.pixels, before.pixels)
        span = _cells(np.maximum, self.pixels) - _cells(np.minimum, self.pixels)
        textured = span >= _TEXTURE
        count = np.count_nonzero(textured)
        still = np.count_nonzero(textured & is_same)
        return bool(count >= _LEAST_TEXTURED and still >= _STILL * count)


def _contrast(cells: NDArray[np.float32]) -> float:
    darkest, brightest = np.percentile(cells, (5, 95))
    return float(brightest - darkest)


def _even_light() -> NDArray[np.float32]:
    """(144, 144): takes cells to those of the surface of the fourth degree that is nearest."""
    rows, columns = (np.linspace(-1.0, 1.0, count) for count in reversed(_GRID))
    y, x = (each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))
    powers = [x**i * y**j for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    basis, _ = np.linalg.qr(np.stack(powers, axis=1))
    surface: NDArray[np.float32] = (basis @ basis.T).astype(np.float32)
    return surface


_EVEN = _even_light()


def _same_cells(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(9, 16): which cells are equal in all their pixels."""
    return _cells(np.maximum, np.asarray(cv2.absdiff(one, other), np.uint8)) == 0


def _cells(extreme: np.ufunc, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(9, 16): np.maximum or np.minimum of each cell of ``pixels`` (H, W)."""
    height, width = pixels.shape
    rows = np.arange(_GRID[1]) * height // _GRID[1]
    columns = np.arange(_GRID[0]) * width // _GRID[0]
    cells: NDArray[np.uint8] = extreme.reduceat(extreme.reduceat(pixels, rows), columns, axis=1)
    return cells


class PictureRenewal:
    """Whether pictures of one view come again, by a number for the content of each."""

    def __init__(self) -> None:
        self._renewal = Renewal(DEAD_AFTER, _TOLERATED)

    def add(self, stamp: float, content: int) -> None:
        """Take the next picture's stamp [Unix s] and content."""
        self._renewal.add(stamp, content)

    @property
    def trouble(self) -> str:
        """In a word of ``core.troubles``; '' if there is none."""
        if not self._renewal.is_stale:
            return ""
        return REPEATED_PICTURES if self._renewal.comes_again else UNCHANGED


class ViewLife:
    """What is dead about one view's pictures, of those that are looked at."""

    def __init__(self) -> None:
        self.newest: Look | None = None  # the last look
        self._renewal = PictureRenewal()
        self._content = 0  # of the last look
        self.size = (0, 0)  # (width, height) of the first picture
        self._seeing: float | None = None  # stamp of the last picture that was not blank
        self._first = 0.0

    def add(self, look: Look) -> list[str]:
        """Take the next picture; its troubles, in words of ``core.troubles``."""
        before, self.newest = self.newest, look
        if before is None or look.stamp < before.stamp - _NEAR:  # time was set back
            self.size = look.size
        if before is None or look.stamp < before.stamp:
            self._first, self._seeing = look.stamp, None
        is_still = before is not None and (look.digest == before.digest or look.is_still(before))
        self._content = self._content if is_still else look.digest
        self._renewal.add(look.stamp, self._content)
        if not look.is_blank:
            self._seeing = look.stamp
        since = self._first if self._seeing is None else self._seeing
        blank = look.is_blank and look.stamp - since >= DEAD_AFTER
        resized = other_size(look.size, self.size) if look.size != self.size else ""
        return [what for what in (self._renewal.trouble, BLANK if blank else "", resized) if what]


class Twins:
    """Views that show one and the same picture, as when one camera feeds several: perhaps coded
    twice, mirrored, or one of them later than the other.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], float] = {}  # stamp from which two are alike [Unix s]
        self._shown: dict[str, deque[Look]] = {}  # by view, of late, the newest last

    def add(self, looks: Mapping[str, Look]) -> list[tuple[str, str]]:
        """Take the newest look of each view; the pairs of views that are alike for long enough."""
        shown = {view: self._of_late(view, look) for view, look in looks.items()}
        seeing = {view for view, look in looks.items() if not look.is_blank}
        found = []
        for pair in itertools.combinations(looks, 2):
            stamps = [looks[view].stamp for view in pair]
            comparable = max(stamps) - min(stamps) < _NEAR and seeing.issuperset(pair)
            if not comparable or not _alike(*(shown[view] for view in pair)):
                self._since.pop(pair, None)
                continue
            newest = max(stamps)
            since = self._since.setdefault(pair, newest)
            if newest < since:  # time was set back
                self._since[pair] = since = newest
            if newest - since >= DEAD_AFTER:
                found.append(pair)
        return found

    def _of_late(self, view: str, look: Look) -> NDArray[np.float32]:
        """(n, 9, 16): the grids of the view's looks of the last second, of this one last."""
        shown = self._shown.setdefault(view, deque())
        if shown and look.stamp < shown[-1].stamp:  # time was set back
            shown.clear()
        if not shown or look is not shown[-1]:
            shown.append(look)
        while shown[0].stamp < look.stamp - _LATEST_TWIN:
            shown.popleft()
        return np.stack([each.grid for each in shown])


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether the last of ``one`` (n, 9, 16) is any of ``other`` (m, 9, 16), perhaps mirrored, or
    the other way round.
    """
    return _is_among(one[-1], other) or _is_among(other[-1], one)


def _is_among(grid: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    return any(
        bool((np.abs(others - grid[::rows, ::columns]).mean(axis=(1, 2)) < _LIKENESS).any())
        for rows in (1, -1)
        for columns in (1, -1)
    )


class SensorLife:
    """Whether the sensor's A-scans are alive. The force may stand still, as with a needle at rest;
    each A-scan has a thousand points and noise in all of them.
    """

    def __init__(self) -> None:
        self._renewal = Renewal(SENSOR_DEAD_AFTER, _SENSOR_TOLERATED)
        self._content = 0  # of the last A-scan, and its points
        self._before: NDArray[np.float64] | None = None

    def add(self, times: NDArray[np.float64], ascan: NDArray[np.float32]) -> None:
        """Take samples: times (n,) [Unix s], ascan (n, K)."""
        points = ascan[:, ::_SAMPLED].astype(np.float64)
        is_same = self._like_the_one_before(points)
        for time, row, same in zip(times.tolist(), points, is_same.tolist(), strict=True):
            if not same:
                self._content = hash(row.tobytes())
            self._renewal.add(time, self._content)
        self._before = points[-1:]

    @property
    def is_dead(self) -> bool:
        """Whether A-scans are older than their times say."""
        return self._renewal.is_stale

    def _like_the_one_before(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,): which of ``points`` (n, k) are the A-scan before, but for what is no noise."""
        before = self._before
        is_first = before is None or before.shape[1] != points.shape[1]
        start = points[:1] if before is None or is_first else before
        steps = np.abs(np.diff(points, axis=0, prepend=start))
        moved = steps > _SAME_SCAN * np.ptp(points, axis=1)[:, np.newaxis]
        is_same: NDArray[np.bool_] = np.count_nonzero(moved, axis=1) <= _MOST_MOVED
        is_same[0] &= not is_first
        return is_same

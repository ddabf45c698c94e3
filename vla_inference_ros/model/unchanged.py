"""Notices pictures that repeat byte for byte, as those of a camera that has frozen do.

No two pictures of a live camera are equal: there is noise in every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_inference_ros.model.interface import View


@dataclass(frozen=True, slots=True)
class Age:
    """Of a picture [Unix s]: ``first`` is the stamp of the first of the equal pictures in a row
    that it ends; ``earliest`` the earliest time that it may be of. Both are its own stamp unless it
    repeats the last picture with a later one; then it may be as old as the last that differed.
    """

    first: float
    earliest: float


class UnchangedPicture:
    """Remembers the equal pictures that have come in a row, of one view."""

    def __init__(self) -> None:
        self._first: View | None = None
        self._newest_stamp = 0.0
        self._before: float | None = None  # stamp of the last picture that was another

    def age(self, view: View) -> Age:
        """Look at the next picture."""
        first = self._first
        if first is None or view.stamp < first.stamp or not _equal(first.picture, view.picture):
            self._before = None if first is None else min(self._newest_stamp, view.stamp)
            self._first, self._newest_stamp = view, view.stamp
            return Age(view.stamp, view.stamp)
        self._newest_stamp = view.stamp
        if view.stamp == first.stamp or self._before is None:
            return Age(first.stamp, first.stamp)
        return Age(first.stamp, self._before)


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)

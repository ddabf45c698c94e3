"""Notices pictures that repeat byte for byte, as those of a camera that has frozen do.

No two pictures of a live camera are equal: there is noise in every pixel.
"""

from __future__ import annotations

import numpy as np

from vla_inference_ros.model.interface import View


class UnchangedPicture:
    """Remembers the equal pictures that have come in a row, of one view."""

    def __init__(self) -> None:
        self._first: View | None = None
        self._newest_stamp = 0.0
        self._before: float | None = None  # stamp of the last picture that was another

    def since(self, view: View) -> float:
        """The earliest time [Unix s] that a picture may be of: of one that repeats the last with a
        later stamp, when another picture was last seen; else its own stamp.
        """
        first = self._first
        if first is None or view.stamp < first.stamp or not _equal(first.picture, view.picture):
            self._before = None if first is None else min(self._newest_stamp, view.stamp)
            self._first, self._newest_stamp = view, view.stamp
            return view.stamp
        self._newest_stamp = view.stamp
        if view.stamp == first.stamp:
            return view.stamp
        return first.stamp if self._before is None else self._before


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)

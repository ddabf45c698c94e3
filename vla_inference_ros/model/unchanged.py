"""Notices pictures that repeat byte for byte, as those of a camera that has frozen do.

No two pictures of a live camera are equal: there is noise in every pixel.
"""

from __future__ import annotations

import numpy as np

from vla_inference_ros.model.interface import View


class UnchangedPicture:
    """Remembers the first of the equal pictures that have come in a row, of one view."""

    def __init__(self) -> None:
        self._first: View | None = None

    def since(self, view: View) -> float:
        """Acquisition time [Unix s] of the first of the equal pictures in a row that this one ends;
        its own if it differs from the one before.
        """
        first = self._first
        if first is None or view.stamp < first.stamp or not _equal(first.picture, view.picture):
            self._first = first = view
        return first.stamp


def _equal(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)

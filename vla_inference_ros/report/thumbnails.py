"""A few moments of a run in small pictures, chosen without knowing how long the run will be."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vla_inference_ros.core.pictures import decode

_SLOTS = 24  # moments that are kept at most, twice as many before they are thinned out
_FIRST_SLOT = 1 / 16  # the first length of a slot; doubles, so that times stay exact [s]
_QUALITY = 70  # JPEG
_MOST_VIEWS = 16  # of which pictures are kept


class Thumbnails:
    """Time is divided into slots; of each slot the first picture of each view is kept, as it came.

    When there are too many slots, they get twice as long, and every second one is forgotten.
    """

    def __init__(self) -> None:
        self._start = 0.0
        self._slot = _FIRST_SLOT
        self._kept: dict[int, dict[str, tuple[float, bytes]]] = {}
        self._views: set[str] = set()

    def offer(self, view: str, time: float, jpeg: bytes) -> None:
        """A picture that was received at ``time`` [Unix s]; times may go back a little."""
        if not math.isfinite(time):
            return
        if not self._kept:
            self._start = time
        if view not in self._views:
            if len(self._views) == _MOST_VIEWS:
                return
            self._views.add(view)
        slot = max(0, int((time - self._start) / self._slot))
        while slot >= 2 * _SLOTS:
            self._thin_out()
            slot //= 2
        self._kept.setdefault(slot, {}).setdefault(view, (time, jpeg))

    def moments(self, count: int) -> list[dict[str, tuple[float, bytes]]]:
        """At most ``count`` moments from the first to the last: by view, when its picture was
        received [Unix s], and the JPEG.
        """
        slots = sorted(self._kept)
        if not slots:
            return []
        wanted = np.linspace(slots[0], slots[-1], count)
        nearest = {min(slots, key=lambda slot: abs(slot - place)) for place in wanted}
        return [self._kept[slot] for slot in sorted(nearest)]

    def _thin_out(self) -> None:
        self._slot *= 2
        halved: dict[int, dict[str, tuple[float, bytes]]] = {}
        for slot in sorted(self._kept):
            for view, picture in self._kept[slot].items():
                halved.setdefault(slot // 2, {}).setdefault(view, picture)
        self._kept = halved


def small_jpeg(jpeg: bytes, size: int) -> bytes | None:
    """The picture no wider and no higher than ``size``; None if it is damaged."""
    try:
        picture = decode(jpeg, "BGR", least=(size, size)).pixels
    except ValueError:
        return None
    height, width = picture.shape[:2]
    scale = min(1.0, size / max(width, height))
    smaller = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return encoded.tobytes()

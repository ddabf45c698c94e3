"""Makes the page's small pictures."""

from __future__ import annotations

import cv2
import numpy as np

from vla_inference_ros.model.interface import View
from vla_inference_ros.model.picture import picture_size

WIDTH = 320  # pixels; no small picture is wider
_QUALITY = 70  # JPEG
# A JPEG is decoded at a half, a quarter or an eighth at a fraction of the time.
_REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4))
_HALF, _WHOLE = cv2.IMREAD_REDUCED_COLOR_2, cv2.IMREAD_COLOR


def small_picture(view: View) -> bytes:
    """A JPEG at most ``WIDTH`` wide of a view's JPEG or PNG.

    Raises FrameError for what is neither, and for what would be huge once decoded.
    """
    width, _ = picture_size(view)
    assert isinstance(view.picture, bytes)
    flag = cv2.IMREAD_IGNORE_ORIENTATION | _flag(width)
    pixels = cv2.imdecode(np.frombuffer(view.picture, np.uint8), flag)
    if pixels is None:
        raise ValueError(f"{view.name}: the picture cannot be decoded")
    if pixels.shape[1] > WIDTH:
        height = max(1, round(pixels.shape[0] * WIDTH / pixels.shape[1]))
        pixels = cv2.resize(pixels, (WIDTH, height), interpolation=cv2.INTER_AREA)
    done, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    if not done:
        raise ValueError(f"{view.name}: the small picture cannot be encoded")
    return jpeg.tobytes()


def _flag(width: int) -> int:
    """The strongest reduction that leaves the picture at least as wide as it is shown."""
    for factor, flag in _REDUCED:
        if width >= factor * WIDTH:
            return flag
    return _HALF if width >= 2 * WIDTH else _WHOLE

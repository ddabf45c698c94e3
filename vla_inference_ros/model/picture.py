"""Turns a view's picture into pixels of the one size that the models take.

Owns decoding, its checks and the first resize. Does not own what a model makes of the pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.jpeg import JpegError, jpeg_size
from vla_inference_ros.model.interface import FrameError, View

WIDTH, HEIGHT = 640, 360  # pixels; every picture is brought to this size
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture_size(view: View) -> tuple[int, int] | None:
    """(width, height) in pixels without decoding; None for a PNG, whose header is not read.

    Raises :class:`FrameError` for bytes that are neither a whole JPEG nor a PNG, and for pixels
    that are not (H, W, 3) uint8.
    """
    picture = view.picture
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise FrameError(
                view.name, f"{view.name}: {picture.dtype} {picture.shape} is not (H, W, 3) uint8"
            )
        if picture.size == 0:
            raise FrameError(view.name, f"{view.name}: the picture {picture.shape} is empty")
        return picture.shape[1], picture.shape[0]
    if picture.startswith(_PNG_SIGNATURE):
        return None
    try:
        return jpeg_size(picture)
    except JpegError as error:
        raise FrameError(view.name, f"{view.name}: {error}") from error


def decode(view: View) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 RGB; the aspect ratio is not kept. Raises :class:`FrameError`."""
    size = picture_size(view)
    if isinstance(view.picture, np.ndarray):
        return _resize(np.ascontiguousarray(view.picture))
    # A JPEG can be decoded at half size for two thirds of the cost.
    half = size is not None and size[0] >= 2 * WIDTH and size[1] >= 2 * HEIGHT
    flags = cv2.IMREAD_REDUCED_COLOR_2 if half else cv2.IMREAD_COLOR
    try:
        bgr = cv2.imdecode(np.frombuffer(view.picture, dtype=np.uint8), flags)
    except cv2.error as error:
        raise FrameError(view.name, f"{view.name}: {error.err}") from error
    if bgr is None:
        raise FrameError(
            view.name,
            f"{view.name}: OpenCV cannot decode this picture of {len(view.picture)} bytes",
        )
    return cv2.cvtColor(_resize(bgr), cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _resize(pixels: cv2.typing.MatLike) -> NDArray[np.uint8]:
    if pixels.shape[:2] != (HEIGHT, WIDTH):
        # Averages over the area when it shrinks, as the half-size JPEG does; linear when it grows.
        pixels = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return pixels.astype(np.uint8, copy=False)

"""Turns a view's picture into pixels of the one size that the models take.

Owns the size, the choice of the reduction and the resize. Does not own decoding and its checks
(``core.pictures``), nor what a model makes of the pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core import pictures
from vla_inference_ros.model.interface import FrameError, View

WIDTH, HEIGHT = 640, 360  # pixels; every picture is brought to this size


def picture_size(view: View) -> tuple[int, int]:
    """(width, height) in pixels without decoding.

    Raises :class:`FrameError` for bytes that are neither a whole JPEG nor a PNG, or that would be
    over ``MAX_PIXELS``, and for pixels that are not (H, W, 3) uint8.
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
    try:
        return pictures.picture_size(picture)
    except ValueError as error:
        raise FrameError(view.name, f"{view.name}: {error}") from error


def decode(view: View) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 RGB; the aspect ratio is not kept. Raises :class:`FrameError`."""
    width, height = picture_size(view)
    if isinstance(view.picture, np.ndarray):
        return _resize(np.ascontiguousarray(view.picture))
    # A JPEG can be decoded at half size for three quarters of the cost.
    half = width >= 2 * WIDTH and height >= 2 * HEIGHT
    least = (-(-width // 2), -(-height // 2)) if half else (0, 0)
    try:
        pixels = pictures.decode(view.picture, "RGB", least).pixels
    except ValueError as error:
        raise FrameError(view.name, f"{view.name}: {error}") from error
    return _resize(pixels)


def check(view: View) -> None:
    """Raises :class:`FrameError` for what :func:`decode` would, at less cost."""
    picture_size(view)
    if isinstance(view.picture, bytes):
        try:
            pictures.decode(view.picture, "GRAY", least=(1, 1))
        except ValueError as error:
            raise FrameError(view.name, f"{view.name}: {error}") from error


def brightness(view: View) -> pictures.Decoded:
    """The picture (H, W) uint8 grey, a JPEG reduced to no less than WIDTH x HEIGHT, and what is odd
    about it. Raises :class:`FrameError`, but not for bytes left over that :func:`decode` finds.
    """
    if isinstance(view.picture, np.ndarray):
        size = picture_size(view)
        grey = cv2.cvtColor(np.ascontiguousarray(view.picture), cv2.COLOR_RGB2GRAY)
        return pictures.Decoded(grey.astype(np.uint8, copy=False), size)
    try:
        return pictures.decode(view.picture, "GRAY", (WIDTH, HEIGHT), to_last_byte=False)
    except ValueError as error:
        raise FrameError(view.name, f"{view.name}: {error}") from error


def _resize(pixels: cv2.typing.MatLike) -> NDArray[np.uint8]:
    if pixels.shape[:2] != (HEIGHT, WIDTH):
        # Averages over the area when it shrinks, as the half-size JPEG does; linear when it grows.
        pixels = cv2.resize(pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return pixels.astype(np.uint8, copy=False)

"""Turns a view's picture into pixels of the one size that the models take.

Owns decoding, its checks and the first resize. Does not own what a model makes of the pixels.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.model.interface import FrameError, View

WIDTH, HEIGHT = 640, 360  # pixels; every picture is brought to this size
MAX_PIXELS = 100_000_000  # of a picture that is decoded: 300 MB
_JPEG_START = b"\xff\xd8"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">I4sII")  # length, type, width, height: the first chunk's start


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
        png = picture.startswith(_PNG_SIGNATURE)
        width, height = _png_size(picture) if png else jpeg_size(picture)
    except ValueError as error:
        raise FrameError(view.name, f"{view.name}: {error}") from error
    if width * height > MAX_PIXELS:
        raise FrameError(
            view.name,
            f"{view.name}: the picture is {width}x{height}, over the limit of {MAX_PIXELS} pixels: "
            "is the topic the right camera's?",
        )
    return width, height


def _png_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels from a PNG's first chunk (RFC 2083, 4.1.1); raises ValueError."""
    header = data[len(_PNG_SIGNATURE) : len(_PNG_SIGNATURE) + _PNG_HEADER.size]
    if len(header) < _PNG_HEADER.size:
        raise ValueError(f"PNG of {len(data)} bytes is cut short in its header")
    length, kind, width, height = _PNG_HEADER.unpack(header)
    if (length, kind) != (13, b"IHDR"):
        raise ValueError("PNG header is damaged: its first chunk is not IHDR")
    if width == 0 or height == 0:
        raise ValueError(f"PNG says it is {width}x{height}")
    return width, height


def decode(view: View) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) uint8 RGB; the aspect ratio is not kept. Raises :class:`FrameError`."""
    width, height = picture_size(view)
    if isinstance(view.picture, np.ndarray):
        return _resize(np.ascontiguousarray(view.picture))
    # A JPEG can be decoded at half size for two thirds of the cost.
    jpeg = view.picture.startswith(_JPEG_START)
    half = jpeg and width >= 2 * WIDTH and height >= 2 * HEIGHT
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

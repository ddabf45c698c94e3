"""Decodes pictures, JPEG and PNG, and tells the damaged ones: the one place where that is done.

Owns what is refused and what is only odd. An orientation tag is not followed: the policy was
trained on pixels as they are coded. Does not own what is made of the pixels.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vla_inference_ros.core.jpeg import END, PADDING, JpegError, JpegForm, jpeg_content, jpeg_form

MAX_PIXELS = 100_000_000  # of a picture that is decoded: 300 MB
MOST_EXTRANEOUS = 512  # bytes of padding before the end marker that an encoder may leave

Order = Literal["RGB", "BGR", "GRAY"]

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER = struct.Struct(">I4sII")  # length, type, width, height: the first chunk's start
_PNG_CHUNK = struct.Struct(">I4s")  # length, type; its content and a checksum follow
_PNG_CHECKSUM = 4  # bytes
_PNG_PIXELS = (b"IHDR", b"PLTE", b"IDAT")
_PNG_FLAGS = {
    "RGB": cv2.IMREAD_COLOR,
    "BGR": cv2.IMREAD_COLOR,
    "GRAY": cv2.IMREAD_GRAYSCALE,
}
# What is whole, but not read: rare ratios of brightness to colour, 12 bits, lossless ones.
_UNREAD = re.compile(r"Unsupported|Could not determine subsampling")
# libjpeg-turbo tells of the first thing that is wrong. Behind the last scan nothing can follow.
_EXTRANEOUS_AT_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_LIKE_PADDING = 4  # last bytes of coded data that may look so: 00, or FF with its stuffed 00
_SMALLEST = {"min_width": 1, "min_height": 1}


class _LeftOverError(ValueError):
    """A few bytes before the end marker were not needed for the last block."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """``pixels`` (H, W, 3) uint8, or (H, W) of "GRAY", of a picture whose ``size`` (width, height)
    they have, if they are not reduced; ``oddities`` are what the picture has that ordinary ones
    have not, and that does no harm, each in short plain words.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]
    oddities: tuple[str, ...] = ()


def picture_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels without decoding.

    ValueError for bytes that are neither a JPEG, whole by its markers, nor a PNG, and for more
    than ``MAX_PIXELS``.
    """
    if data.startswith(_PNG_SIGNATURE):
        return _bounded(*_png_size(data))
    form = jpeg_form(data)
    return _bounded(form.width, form.height)


def picture_content(data: bytes) -> int:
    """A number for what a JPEG's or PNG's pixels are made of, as :func:`core.jpeg.jpeg_content`."""
    if not data.startswith(_PNG_SIGNATURE):
        return jpeg_content(data)
    position, kept = len(_PNG_SIGNATURE), []
    while position + _PNG_CHUNK.size <= len(data):
        length, kind = _PNG_CHUNK.unpack_from(data, position)
        end = position + _PNG_CHUNK.size + length
        if kind in _PNG_PIXELS:
            kept.append(data[position + _PNG_CHUNK.size : end])
        position = end + _PNG_CHECKSUM
    return hash(b"".join(kept) or data)


def decode(
    data: bytes,
    order: Order = "RGB",
    least: tuple[int, int] = (0, 0),
    *,
    to_last_byte: bool = True,
) -> Decoded:
    """A JPEG's or PNG's pixels; a JPEG reduced while it is decoded, which costs less, but to no
    less than ``least`` (width, height) where it was not smaller; (0, 0) does not reduce it. That a
    baseline JPEG needs all its bytes ``to_last_byte`` takes a second reading to know.

    ValueError as :func:`picture_size`, and for a picture that is damaged: one that ends early, has
    a bad code or lacks data. Then a decoder fills in, and the pixels look whole.
    """
    if data.startswith(_PNG_SIGNATURE):
        size = _bounded(*_png_size(data))
        return Decoded(_decoded_png(data, order), size)
    form = jpeg_form(data)
    _bounded(form.width, form.height)
    return _decoded_jpeg(data, form, order, least, to_last_byte)


def _bounded(width: int, height: int) -> tuple[int, int]:
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"the picture is {width}x{height}, over the limit of {MAX_PIXELS} pixels: "
            "is the topic the right camera's?"
        )
    return width, height


def _decoded_jpeg(
    data: bytes, form: JpegForm, order: Order, least: tuple[int, int], to_last_byte: bool
) -> Decoded:
    oddities = _odd_markers(form)
    width, height = least
    reduction = {"min_width": width, "min_height": height} if width and height else {}
    decoder = partial(simplejpeg.decode_jpeg, colorspace=order, **reduction)

    def decoded_whole(data: bytes) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = decoder(data)
        # A progressive one's damage is hardly ever so small, and this costs.
        if to_last_byte and form.scans == 1:
            check_end(data)
        return pixels

    picture = data[: len(data) - form.trailing]
    try:
        try:
            pixels = decoded_whole(picture)
        except ValueError as error:
            pixels = _decoded_without_padding(picture, decoded_whole, error)
            oddities = (*oddities, "padding before the JPEG's end")
    except ValueError as error:
        if _UNREAD.search(str(error)):
            raise JpegError(
                f"the JPEG is of a kind that is not read ({error}): set the encoder to baseline or "
                "progressive, 8 bits, and 4:2:0, 4:2:2 or 4:4:4"
            ) from error
        raise JpegError(f"the JPEG is damaged: {error}") from error
    size = form.width, form.height
    return Decoded(pixels[..., 0] if order == "GRAY" else pixels, size, oddities)


def check_end(data: bytes) -> None:
    """ValueError if a JPEG that is decoded without a warning does not need its last byte.

    A decoder reads up to seven bytes ahead and tells of none of them, and in these there is room
    for blocks.
    """
    shortened = data[: -len(END)].rstrip(b"\xff")[:-1] + END
    try:
        simplejpeg.decode_jpeg(shortened, "GRAY", **_SMALLEST)
    except ValueError:
        return
    raise _LeftOverError("bytes are left over behind its last block")


def _decoded_without_padding(
    data: bytes, decoder: Callable[[bytes], NDArray[np.uint8]], error: ValueError
) -> NDArray[np.uint8]:
    """The pixels if ``error`` is of nothing but padding before the end marker, with which ``data``
    ends; ``error`` or another ValueError if not.

    A decoder that has lost its place leaves bytes over, too, or takes padding for the data that it
    lacks. So what stands before the padding must be a whole picture by itself.
    """
    coded = data[: -len(END)]
    picture = coded.rstrip(PADDING)
    padding = coded[len(picture) :]
    found = _EXTRANEOUS_AT_END.search(str(error))
    if found is None and not isinstance(error, _LeftOverError):
        raise error
    if (int(found[1]) if found else 1) > min(len(padding), MOST_EXTRANEOUS):
        raise error
    for kept in range(_MOST_LIKE_PADDING + 1):
        try:
            return decoder(picture + padding[:kept] + END)
        except ValueError as lacking:
            error = lacking
    raise error


def _odd_markers(form: JpegForm) -> tuple[str, ...]:
    odd = {
        "no Huffman tables in the JPEG": not form.has_tables,
        "bytes behind the JPEG's end": form.trailing > 0,
    }
    return tuple(what for what, is_so in odd.items() if is_so)


def _png_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels from a PNG's first chunk (RFC 2083, 4.1.1)."""
    header = data[len(_PNG_SIGNATURE) : len(_PNG_SIGNATURE) + _PNG_HEADER.size]
    if len(header) < _PNG_HEADER.size:
        raise ValueError(f"PNG of {len(data)} bytes is cut short in its header")
    length, kind, width, height = _PNG_HEADER.unpack(header)
    if (length, kind) != (13, b"IHDR"):
        raise ValueError("PNG header is damaged: its first chunk is not IHDR")
    if width == 0 or height == 0:
        raise ValueError(f"PNG says it is {width}x{height}")
    return width, height


def _decoded_png(data: bytes, order: Order) -> NDArray[np.uint8]:
    """OpenCV gives nothing for a PNG that is cut or whose checksums do not fit."""
    flags = _PNG_FLAGS[order] | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"the PNG is damaged: {error.err}") from error
    if pixels is None:
        raise ValueError(f"the PNG of {len(data)} bytes is damaged")
    if order == "RGB":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return pixels.astype(np.uint8, copy=False)

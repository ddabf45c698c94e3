"""JPEGs whose markers are whole and whose content is not: what a decoder makes a good-looking
picture of all the same, and what keeps it busy.
"""

from __future__ import annotations

import io
import re

import cv2
import numpy as np

_END = b"\xff\xd9"
_SCAN = re.compile(rb"\xff\xda")
_TABLES = b"\xff\xdb"  # marker of quantisation tables (ITU-T T.81, B.2.4.1)
_COMMENT = b"\xff\xfe"
# The places of coefficients in a table that a picture reduced by two still has, but for the mean.
_FINE = (*range(1, 10), 11, 12, 13)
_SCATTER = 2531  # odd: numbers that follow each other differ in about half of the places


def zeroed(jpeg: bytes) -> bytes:
    """The coded data all zeros."""
    begin = _coded_data(jpeg)
    return jpeg[:begin] + bytes(len(jpeg) - len(_END) - begin) + _END


def cut(jpeg: bytes) -> bytes:
    """The first half of the coded data, then the end marker."""
    begin = _coded_data(jpeg)
    return jpeg[: begin + (len(jpeg) - begin) // 2] + _END


def emptied(jpeg: bytes) -> bytes:
    """No coded data at all, only the end marker."""
    return jpeg[: _coded_data(jpeg)] + _END


def endless(jpeg: bytes, scans: int = 5000) -> bytes:
    """A progressive JPEG of the same picture whose last scan comes so many times again."""
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError("the JPEG cannot be decoded")
    flat = np.full_like(pixels, int(np.mean(pixels)))
    _, coded = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    progressive = coded.tobytes()
    last = list(_SCAN.finditer(progressive))[-1].start()
    repeated = io.BytesIO()
    repeated.write(progressive[: -len(_END)])
    repeated.write(progressive[last : -len(_END)] * scans)
    repeated.write(_END)
    return repeated.getvalue()


def commented(jpeg: bytes, comment: str) -> bytes:
    """The same pixels with a comment."""
    text = comment.encode()
    return jpeg[:2] + _COMMENT + (2 + len(text)).to_bytes(2, "big") + text + jpeg[2:]


def flickered(jpeg: bytes, number: int) -> bytes:
    """The picture as good as the same, with other pixels for each ``number`` of 4096 in turn, as a
    live camera's noise gives them: the steps of the finest coefficients that count are changed by
    one. What has no such table, or no texture, stays as it is.
    """
    scattered = number * _SCATTER
    at = jpeg.find(_TABLES) + len(_TABLES) + 2
    if at < len(_TABLES) + 2 or jpeg[at] != 0:  # eight bits, of the first table
        return jpeg
    table = bytearray(jpeg[at + 1 : at + 65])
    for bit, place in enumerate(_FINE):
        step = table[place]
        table[place] = step + (scattered >> bit & 1) if step < 255 else step
    return jpeg[: at + 1] + bytes(table) + jpeg[at + 65 :]


def _coded_data(jpeg: bytes) -> int:
    """Where the first scan's data begins."""
    found = _SCAN.search(jpeg)
    if found is None:
        raise ValueError("the JPEG has no scan")
    header = found.end()
    return header + int.from_bytes(jpeg[header : header + 2], "big")

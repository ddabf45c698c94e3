"""Reads a JPEG's size from its own header, so that a broken or absurd one is refused undecoded."""

from __future__ import annotations

_START, _END = b"\xff\xd8", b"\xff\xd9"
# Start-of-frame markers carry the size: C0..CF but for C4 (tables), C8 (reserved), CC (arithmetic).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN_MARKER = 0xDA
_TRAILER = 64  # bytes behind the end marker that some encoders pad with


class JpegError(ValueError):
    """The bytes are not a whole JPEG."""


def jpeg_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a JPEG, from its start-of-frame segment (ITU-T T.81, B.2.2).

    Checks the start and end markers as well, so a truncated file raises :class:`JpegError`.
    """
    if not data:
        raise JpegError("the JPEG is empty")
    if not data.startswith(_START):
        raise JpegError(f"not a JPEG: starts with {data[:4].hex(' ')}, not ff d8")
    if data.find(_END, len(data) - _TRAILER if len(data) > _TRAILER else 2) < 0:
        raise JpegError(f"JPEG of {len(data)} bytes has no end marker: cut short on the way?")
    width, height = _frame_size(data)
    if width == 0 or height == 0:
        raise JpegError(f"JPEG says it is {width}x{height}")
    return width, height


def _frame_size(data: bytes) -> tuple[int, int]:
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise JpegError(f"JPEG header is damaged at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker in _FRAME_MARKERS and position + 9 <= len(data):
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            return width, height
        elif marker == _SCAN_MARKER:
            break
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise JpegError("JPEG header has no frame size")

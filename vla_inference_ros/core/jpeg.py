"""Reads a JPEG's form from its markers, so that a broken, cut or costly one is refused undecoded.

Owns what can be told without decoding, in one pass over the bytes. Does not own decoding, which
finds what is damaged between the markers (``pictures``).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_SCANS = 64  # a progressive JPEG has about 10; each costs a pass over all pixels
MOST_WORK = 1_000_000_000  # scans times pixels: half a second, whatever the few bytes say

END = b"\xff\xd9"  # the marker
PADDING = b"\x00\xff"  # bytes that may stand before it

_START = b"\xff\xd8"
# Start-of-frame markers carry the size: C0..CF but for C4 (tables), C8 (reserved), CC (arithmetic).
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE_MARKERS = frozenset({0xC2, 0xC6})
_ARITHMETIC_MARKERS = frozenset(range(0xC9, 0xD0)) - {0xCC}
_STANDALONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD8)})
_TABLES_MARKER, _END_MARKER, _SCAN_MARKER, _METADATA_MARKER = 0xC4, 0xD9, 0xDA, 0xE1
_QUANTISATION_MARKER = 0xDB
# In coded data FF is followed by 00, and restart markers belong to the data.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_COEFFICIENTS = 64  # of a block
_MOST_MARKERS = 2000  # a colour profile of the largest size has 255; few bytes can hold millions


class JpegError(ValueError):
    """The bytes are not a whole JPEG, or one that would take too long to decode."""


@dataclass(frozen=True, slots=True)
class JpegForm:
    """What the markers say: ``width`` and ``height`` [pixels], how many ``components`` (channels; 1
    of grey pictures) and scans, whether there are Huffman tables (some cameras leave the standard
    ones out), and how many bytes stand behind the end marker, whatever they are.
    """

    width: int
    height: int
    components: int
    scans: int
    has_tables: bool
    trailing: int


def jpeg_size(data: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a JPEG; raises :class:`JpegError` as :func:`jpeg_form` does."""
    form = jpeg_form(data)
    return form.width, form.height


def jpeg_form(data: bytes) -> JpegForm:
    """The form of a JPEG by its markers (ITU-T T.81, annex B).

    :class:`JpegError` if its start, size or end is missing, if a scan that it needs is missing, if
    it has more scans than ``MOST_SCANS`` or, with its pixels, than ``MOST_WORK``, or if it is
    arithmetic-coded.
    """
    if not data:
        raise JpegError("the JPEG is empty")
    if not data.startswith(_START):
        raise JpegError(f"not a JPEG: starts with {data[:4].hex(' ')}, not ff d8")
    if data.rfind(END) < len(_START):
        raise _cut(data)
    frame: _Frame | None = None
    scans, has_tables = 0, False
    for marker, begin, end in _segments(data):
        if marker == _END_MARKER and frame is not None:
            frame.check_complete(scans)
            size = (frame.width, frame.height, frame.components)
            return JpegForm(*size, scans, has_tables, len(data) - end)
        if marker in (_END_MARKER, _SCAN_MARKER) and frame is None:
            break
        if marker == _TABLES_MARKER:
            has_tables = True
        elif marker == _QUANTISATION_MARKER:
            _quantisation_tables(data[begin:end])
        elif marker in _ARITHMETIC_MARKERS:
            raise _arithmetic()
        elif marker in _FRAME_MARKERS and frame is None:
            frame = _frame(marker, data[begin:end])
        elif marker == _SCAN_MARKER and frame is not None:
            scans += 1
            _check_work(scans, frame)
            frame.take_scan(data[begin:end])
    if frame is None:
        raise JpegError("JPEG header has no frame size")
    raise _cut(data)


def without_metadata(data: bytes) -> bytes:
    """The JPEG without the segments that Exif and XMP stand in (APP1); the same pixels. They hold
    the tag of orientation, which some readers follow.
    """
    kept, position = [], 0
    for marker, begin, end in _segments(data):
        if marker == _METADATA_MARKER:
            kept.append(data[position : begin - 4])  # without the marker and the length
            position = end
    return b"".join([*kept, data[position:]]) if kept else data


def jpeg_content(data: bytes) -> int:
    """A number for what a JPEG's pixels are made of: the frame's header, the quantisation tables
    that it names and the coded data, without what may stand beside them, such as comments and
    padding. It tells two pictures apart, and is the same for as long as the process runs. Bytes
    that are no whole JPEG count as such.
    """
    try:
        made_of = _made_of(data) if data.startswith(_START) else ()
    except JpegError:
        made_of = ()
    return hash(made_of or data)


def _made_of(data: bytes) -> tuple[bytes, ...]:
    """Nothing of a JPEG that is not whole."""
    frame, named, kept = b"", b"", []
    tables: dict[int, bytes] = {}
    coded = 0  # where a scan's data begins, until its end is found
    for marker, begin, end in _segments(data):
        if coded:
            found = begin if marker == _END_MARKER else begin - 4  # before marker and length
            kept.append(data[coded:found].rstrip(PADDING))
            coded = 0
        if marker == _END_MARKER:
            used = (tables.get(each, b"") for each in named)
            return (frame, *used, *kept) if frame and kept else ()
        if marker == _QUANTISATION_MARKER:
            tables |= _quantisation_tables(data[begin:end])
        elif marker in _FRAME_MARKERS:
            frame = data[begin:end]
            named = frame[8::3]
        elif marker == _SCAN_MARKER:
            kept.append(data[begin:end])
            coded = end
    return ()


def _quantisation_tables(content: bytes) -> dict[int, bytes]:
    """The tables of a segment by their numbers (B.2.4.1); JpegError if a step is 0, which a decoder
    takes all the same.
    """
    tables, position = {}, 0
    while position < len(content):
        is_wide, number = divmod(content[position], 16)  # of two bytes a step, or one
        end = position + 1 + _COEFFICIENTS * (2 if is_wide else 1)
        table = content[position + 1 : end]
        steps = map(operator.or_, table[::2], table[1::2]) if is_wide else table
        if end > len(content) or 0 in steps:
            raise JpegError("JPEG has a quantisation table that is damaged")
        tables[number] = table
        position = end
    return tables


def _cut(data: bytes) -> JpegError:
    return JpegError(f"JPEG of {len(data)} bytes has no end marker: cut short on the way?")


def _arithmetic() -> JpegError:
    """The decoder takes zeros for arithmetic-coded data that it lacks, and says nothing of it."""
    return JpegError(
        "the JPEG is arithmetic-coded, in which damage cannot be told: set the encoder to Huffman "
        "coding, as cameras have it"
    )


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker with where its content begins and ends, up to the end marker or the data's end.

    Coded data behind a scan's header is passed over, with whatever else stands before a marker.
    """
    position, coded = len(_START), False
    for _ in range(_MOST_MARKERS):
        if position + 2 > len(data):
            return
        if coded:
            found = _NEXT_MARKER.search(data, position)
            if found is None:
                return
            position = found.start()
        if data[position] != 0xFF:
            raise JpegError(f"JPEG header is damaged at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in _STANDALONE_MARKERS:
            position += 2
        elif marker == _END_MARKER:
            yield marker, position, position + 2
            return
        else:
            begin = position + 2
            length = int.from_bytes(data[begin : begin + 2], "big")
            end = begin + max(2, length)  # the length counts itself
            if end > len(data):
                return
            yield marker, begin + 2, end
            if length < 2:
                raise JpegError(f"JPEG header is damaged at byte {begin}")
            position, coded = end, coded or marker == _SCAN_MARKER
    raise JpegError(f"JPEG has more than {_MOST_MARKERS} markers and fill bytes")


@dataclass(slots=True)
class _Frame:
    """What a frame's header says; ``open`` are the bits of each component's coefficients whose last
    scan has not come yet.
    """

    width: int
    height: int
    components: int
    progressive: bool
    open: dict[int, int] = field(default_factory=dict)

    def take_scan(self, header: bytes) -> None:
        """Note what a scan of these components brings (B.2.3)."""
        count = header[0] if header else 0
        if not count or len(header) != 4 + 2 * count:
            raise JpegError("JPEG has a scan whose header is damaged")
        first, last, approximation = header[-3:]
        for component in header[1 : 1 + 2 * count : 2]:
            if not self.progressive:
                self.open[component] = 0
                continue
            if not first <= last < _COEFFICIENTS:
                raise JpegError("JPEG has a scan whose header is damaged")
            bits = (1 << last + 1) - (1 << first)
            known = self.open.get(component, 0)
            # The low four bits say how many binary places are left to later scans.
            self.open[component] = known | bits if approximation & 0x0F else known & ~bits

    def check_complete(self, scans: int) -> None:
        """At the end marker: JpegError if a scan is missing."""
        if not scans:
            raise JpegError("JPEG has no picture data")
        if any(self.open.values()):
            raise JpegError(f"JPEG ends behind scan {scans}, before its last one: cut short?")


def _frame(marker: int, header: bytes) -> _Frame | None:
    """None if it is too short to be one."""
    if len(header) < 6:
        return None
    height, width = int.from_bytes(header[1:3], "big"), int.from_bytes(header[3:5], "big")
    if width == 0 or height == 0:
        raise JpegError(f"JPEG says it is {width}x{height}")
    # All coefficients of each component must come. The standard lets a scan without any content be
    # left out, but no encoder does, and a decoder does not tell it from one that got lost.
    coming = dict.fromkeys(header[6::3], (1 << _COEFFICIENTS) - 1)
    return _Frame(width, height, header[5], marker in _PROGRESSIVE_MARKERS, coming)


def _check_work(scans: int, frame: _Frame) -> None:
    pixels = frame.width * frame.height
    if scans > MOST_SCANS or (scans > 1 and scans * pixels > MOST_WORK):
        raise JpegError(
            f"JPEG of {frame.width}x{frame.height} pixels has {scans} scans or more, which would "
            f"take too long to decode (limits: {MOST_SCANS} scans, and {MOST_WORK:.0e} pixels in "
            "all of them): has the camera's encoder a baseline mode?"
        )

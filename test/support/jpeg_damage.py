"""Damages a JPEG's coded data in all the ways that buffers, networks and encoders do."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_END = b"\xff\xd9"
_SCAN = re.compile(rb"\xff\xda")
_MOST = 600  # bytes that are damaged, or stand before the end as padding
_MARKERS = bytes([0xC0, 0xC2, 0xC4, 0xC9, *range(0xD0, 0xE0), 0xE1, 0xFE])

Damage = Callable[[bytes, random.Random], bytes]


def scans(jpeg: bytes) -> list[int]:
    """Where the scans' headers begin, of a JPEG that has no metadata."""
    return [found.start() for found in _SCAN.finditer(jpeg)]


def _stuffed(coded: bytes) -> bytes:
    return coded.replace(b"\xff", b"\xff\x00")


def _place(jpeg: bytes, dice: random.Random) -> int:
    """A place in the coded data of a scan that is no marker and no stuffed byte."""
    header = dice.choice(scans(jpeg))
    begin = header + 2 + int.from_bytes(jpeg[header + 2 : header + 4], "big")
    while True:
        place = dice.randrange(begin + 1, len(jpeg) - len(_END))
        if 0xFF not in jpeg[place - 1 : place + 1]:
            return place


def _length(dice: random.Random) -> int:
    """As many short ones as long ones."""
    return round(_MOST ** dice.random())


def _span(jpeg: bytes, dice: random.Random) -> tuple[int, int]:
    begin = _place(jpeg, dice)
    end = min(begin + _length(dice), len(jpeg) - len(_END))
    while jpeg[end - 1] == 0xFF:
        end -= 1
    return begin, end


def doubled(jpeg: bytes, dice: random.Random) -> bytes:
    begin, end = _span(jpeg, dice)
    return jpeg[:end] + jpeg[begin:end] + jpeg[end:]


def removed(jpeg: bytes, dice: random.Random) -> bytes:
    begin, end = _span(jpeg, dice)
    return jpeg[:begin] + jpeg[end:]


def swapped(jpeg: bytes, dice: random.Random) -> bytes:
    """Two parts beside each other, as packets that overtake each other."""
    begin, end = _span(jpeg, dice)
    middle = (begin + end) // 2
    return jpeg[:begin] + jpeg[middle:end] + jpeg[begin:middle] + jpeg[end:]


def inserted(jpeg: bytes, dice: random.Random) -> bytes:
    begin = _place(jpeg, dice)
    return jpeg[:begin] + _stuffed(dice.randbytes(_length(dice))) + jpeg[begin:]


def overwritten(jpeg: bytes, dice: random.Random) -> bytes:
    begin, end = _span(jpeg, dice)
    return jpeg[:begin] + _stuffed(dice.randbytes(end - begin))[: end - begin] + jpeg[end:]


def zeros(jpeg: bytes, dice: random.Random) -> bytes:
    begin, end = _span(jpeg, dice)
    return jpeg[:begin] + bytes(end - begin) + jpeg[end:]


def truncated(jpeg: bytes, dice: random.Random) -> bytes:
    return jpeg[: _place(jpeg, dice)] + _END


def marker_inside(jpeg: bytes, dice: random.Random) -> bytes:
    begin = _place(jpeg, dice)
    content = dice.randbytes(dice.randrange(20))
    segment = bytes([0xFF, dice.choice(_MARKERS)]) + (2 + len(content)).to_bytes(2, "big") + content
    return jpeg[:begin] + segment + jpeg[begin:]


def scan_inside(jpeg: bytes, dice: random.Random) -> bytes:
    """A scan's header in the midst of another's data, or a scan again behind the last one."""
    header = dice.choice(scans(jpeg))
    end = header + 2 + int.from_bytes(jpeg[header + 2 : header + 4], "big")
    if dice.random() < 0.5:
        return jpeg[: -len(_END)] + jpeg[header : -len(_END)] + _END
    begin = _place(jpeg, dice)
    return jpeg[:begin] + jpeg[header:end] + jpeg[begin:]


def scans_lost(jpeg: bytes, dice: random.Random) -> bytes:
    """Without some scans, each with the tables before it; of a single scan, without it."""
    begins = scans(jpeg)
    ends = [*begins[1:], len(jpeg) - len(_END)]
    lost = set(dice.sample(range(len(begins)), dice.randint(1, max(1, len(begins) - 1))))
    kept = (jpeg[a:b] for n, (a, b) in enumerate(zip(begins, ends, strict=True)) if n not in lost)
    return jpeg[: begins[0]] + b"".join(kept) + _END


def padded(jpeg: bytes, dice: random.Random) -> bytes:
    """With padding before its end."""
    return jpeg[: -len(_END)] + dice.choice([b"\0", b"\xff\0"]) * _length(dice) + _END


DAMAGES: dict[str, Damage] = {
    each.__name__: each
    for each in (
        doubled,
        removed,
        swapped,
        inserted,
        overwritten,
        zeros,
        truncated,
        marker_inside,
        scan_inside,
        scans_lost,
    )
}

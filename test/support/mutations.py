"""Damages packets: bits, lengths, numbers, headers and the order of parts."""

from __future__ import annotations

import math
import random
import struct

from wire_cases import NOW

Parts = list[bytes]

NUMBERS = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.8e308, -NOW, NOW * 1e3, NOW + 1e4]
HEADERS = [
    b"",
    b"null",
    b"[" * 60_000,
    b'{"camera": "oak", "timestamp": 1.7e9, "deep": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"camera": {"camera": {}}, "timestamp": 1.7e9}',
    b'{"camera": "oak", "timestamp": ' + b"9" * 400 + b"}",
    b'{"camera": "oak", "timestamp": ' + b"9" * 60_000 + b"}",
    b'{"camera": "oak", "timestamp": 1e999}',
    b'{"camera": "oak", "timestamp": NaN}',
    b'{"camera": "oak", "timestamp": -Infinity, "send_time": NaN}',
    b'{"camera": "oak", "timestamp": 1.7e9, "send_time": [1.7e9]}',
    b'{"camera": "\\ud800\\u0000", "timestamp": "now"}',
    b'{"camera": "oak", "timestamp": 1.7e9, "x": "' + b"x" * 70_000 + b'"}',
    b'\xef\xbb\xbf{"camera": "oak", "timestamp": 1.7e9}',
    b'{"camera": "\xed\xa0\x80", "timestamp": 1.7e9}',
]


def flip_bits(part: bytes, source: random.Random) -> bytes:
    """Anywhere, or in the first bytes, where the numbers are that say what follows."""
    if not part:
        return part
    changed = bytearray(part)
    end = source.choice([len(part), min(len(part), 64)])
    for _ in range(source.randint(1, 8)):
        changed[source.randrange(end)] ^= 1 << source.randrange(8)
    return bytes(changed)


def cut(part: bytes, source: random.Random) -> bytes:
    return part[: source.randrange(len(part) + 1)]


def extend(part: bytes, source: random.Random) -> bytes:
    return part + source.choice([part, part * 20, source.randbytes(source.randint(1, 64))])


def junk(part: bytes, source: random.Random) -> bytes:
    return source.randbytes(source.randrange(200))


def put_number(part: bytes, source: random.Random) -> bytes:
    """A number that cannot be, of either width, where a number of the packet may lie."""
    value = source.choice(NUMBERS)
    try:
        data = struct.pack(source.choice(["<d", "<f"]), value)
    except OverflowError:
        data = struct.pack("<I", 2**32 - 1)
    at = 4 * source.randrange(max(1, source.choice([len(part) // 4, 8])))
    return part[:at] + data + part[at + len(data) :]


def put_header(part: bytes, source: random.Random) -> bytes:
    return source.choice(HEADERS)


CHANGES = [flip_bits, flip_bits, cut, extend, junk, put_number, put_number, put_header]


def mutate(parts: Parts, source: random.Random) -> Parts:
    changed = list(parts)
    if source.random() < 0.2:
        rearrange = source.randrange(4)
        if rearrange == 0:
            changed.reverse()
        elif rearrange == 1:
            changed.pop()
        elif rearrange == 2:
            changed.append(source.choice(parts))
        else:
            changed.insert(0, source.randbytes(source.randrange(8)))
    if changed and source.random() < 0.9:
        index = source.randrange(len(changed))
        changed[index] = source.choice(CHANGES)(changed[index], source)
    return changed

"""Whatever comes over the network, it is a good packet or a WireError, and it is not kept."""

from __future__ import annotations

import math
import random
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from resource import getpagesize

import cv2
import numpy as np
import pytest
from wire_cases import NOW

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram, WireError

SEED = 20_240_607
SHORT, FULL = 20_000, 1_000_000  # mutations of each stream
GOOD_EVERY = 10
MOST_GROWTH = 64 << 20  # of the process's memory [bytes]; one kept packet in ten would be more
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


@dataclass(frozen=True, slots=True)
class Format:
    """A stream's good packets, how they are read, and the kinds of errors that must be seen."""

    good: list[Parts]
    read: Callable[[Parts], Parts]
    kinds: set[str]


def camera(parts: Parts) -> Parts:
    return CameraFrame.unpack(parts, 1_000_000).pack()


def robot(parts: Parts) -> Parts:
    return RobotPacket.unpack(parts).pack()


def sensor(parts: Parts) -> Parts:
    """A datagram is one part; the others are what else would be sent."""
    return [SensorDatagram.unpack(b"".join(parts)).pack()]


def good_camera(seed: int) -> Parts:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    sent = NOW + seed + 0.01 if seed % 2 else None
    return CameraFrame(f"zed_{seed}_left", NOW + seed, jpeg, 24, 16, sent).pack()


def good_robot(seed: int) -> Parts:
    values = np.random.default_rng(seed).normal(size=13).astype("f4").tolist()
    joints, pose = tuple(values[1:7]), tuple(values[7:])
    return RobotPacket(NOW + seed, NOW + seed + 0.01, values[0], joints, pose).pack()


def good_sensor(seed: int) -> Parts:
    values = np.random.default_rng(seed).normal(size=(1 + seed % 3, 1026)).astype("f4")
    times = NOW + seed + np.arange(len(values)) / 650
    return [SensorDatagram(times, times + 0.08, values[:, 0], values[:, 1:]).pack()]


FORMATS = {
    "camera": Format(
        [good_camera(seed) for seed in range(8)],
        camera,
        {"part count", "bad JSON", "header too large", "bad time", "bad JPEG", "JPEG too large"},
    ),
    "robot": Format(
        [good_robot(seed) for seed in range(8)],
        robot,
        {"part count", "unknown topic", "wrong size", "not finite", "bad time"},
    ),
    "sensor": Format(
        [good_sensor(seed) for seed in range(8)],
        sensor,
        {"wrong size", "wrong count", "not finite", "bad time"},
    ),
}


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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


@pytest.mark.long
@pytest.mark.parametrize("stream", FORMATS)
def test_a_mutation_is_read_or_refused_and_good_packets_beside_it_are_read(
    stream: str, full: bool
) -> None:
    form, source = FORMATS[stream], random.Random(SEED)
    count = FULL if full else SHORT
    kinds: Counter[str] = Counter()
    before = 0
    for number in range(count):
        if number == count // 10:
            before = resident_bytes()
        good = form.good[number % len(form.good)]
        if number % GOOD_EVERY == 0:
            assert form.read(good) == good
        packet = mutate(good, source)
        try:
            form.read(packet)
        except WireError as error:
            kinds[error.kind] += 1
        except Exception as error:
            pytest.fail(f"mutation {number}, {[part[:100] for part in packet]}: {error!r}")
    assert resident_bytes() - before < MOST_GROWTH
    assert set(kinds) == form.kinds
    assert min(kinds.values()) >= count // 5000
    assert count // 3 < sum(kinds.values()) < count

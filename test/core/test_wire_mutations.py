"""Whatever comes over the network, it is a good packet or a WireError, and it is not kept."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from resource import getpagesize

import cv2
import numpy as np
import pytest
from mutations import Parts, mutate
from wire_cases import NOW

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram, WireError

SEED = 20_240_607
SHORT, FULL = 20_000, 1_000_000  # mutations of each stream
GOOD_EVERY = 10
MOST_GROWTH = 64 << 20  # of the process's memory [bytes]; one kept packet in ten would be more


@dataclass(frozen=True, slots=True)
class Format:
    """A stream's good packets, how they are read, and the kinds of errors that must be seen."""

    good: list[Parts]
    read: Callable[[Parts], Parts]
    kinds: set[str]


def camera(parts: Parts) -> Parts:
    return CameraFrame.unpack(parts, 1_000).pack()


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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * getpagesize()


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

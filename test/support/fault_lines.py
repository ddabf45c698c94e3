"""Packets of each format that tell themselves apart, and what a fault line makes of them."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.sim.faults import (
    FaultLine,
    Faults,
)
from vla_inference_ros.sim.formats import (
    CameraFormat,
    Format,
    Packet,
    RobotFormat,
    SensorFormat,
)

T = 1_700_000_000.25
STEP = 1 / 64  # between two packets [s]; sums of it are exact
CAMERA, ROBOT, SENSOR = CameraFormat(), RobotFormat(), SensorFormat()
FORMATS: list[Format] = [CAMERA, ROBOT, SENSOR]
each_format = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)


def jpeg(seed: int) -> bytes:
    pixels = np.full((8, 8, 3), seed % 256, np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes() + seed.to_bytes(4, "big")


def camera(number: int, name: str = "oak") -> Packet:
    t = T + number * STEP
    return CameraFrame(name, t, jpeg(number), 8, 8, t + 0.125).pack()


def robot(number: int) -> Packet:
    t = T + number * STEP
    return RobotPacket(t, t + 0.125, float(number), (0.5,) * 6, (0.25,) * 6).pack()


def sensor(number: int) -> Packet:
    times = T + (number + np.arange(4) / 4) * STEP
    force = np.full(4, number, np.float32)
    ascan = np.full((4, ASCAN_LENGTH), number, np.float32)
    return [SensorDatagram(times, times + 0.125, force, ascan).pack()]


def packets(form: Format, count: int) -> list[Packet]:
    make = {"camera": camera, "robot": robot, "sensor": sensor}[form.name]
    return [make(number) for number in range(count)]


def line(form: Format, seed: int = 1, **faults: Any) -> FaultLine:
    made = FaultLine(form, seed)
    made.faults = Faults(**faults)
    return made


def timed(through: FaultLine, given: Sequence[Packet]) -> list[tuple[float, Packet]]:
    """What comes out, and when, if a packet is put in every ``STEP`` from 0 on."""
    out: list[tuple[float, Packet]] = []

    def take(until: float) -> None:
        while (due := through.next_due) is not None and due <= until:
            ready = through.ready(due)
            out.extend((due, packet) for packet in ready)

    for number, packet in enumerate(given):
        take(number * STEP)
        through.put(packet, number * STEP)
    take(math.inf)
    return out


def sent(through: FaultLine, given: Sequence[Packet]) -> list[Packet]:
    return [packet for _, packet in timed(through, given)]

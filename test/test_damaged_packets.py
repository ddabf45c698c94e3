"""Damaged packets on their whole way: none raises, and none harms the good ones beside it.

The way of the bridges and of the action expert, without sockets and nodes: read, stamped by the
sender's clock, made a message, and for samples, put into the window.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from mutations import Parts, mutate
from wire_cases import NOW

from vla_inference_ros import convert
from vla_inference_ros.core.clock import CALIBRATION_TIME, HostClock
from vla_inference_ros.core.window import SensorWindow
from vla_inference_ros.core.wire import (
    SENSOR_CHANNELS,
    SENSOR_RATE,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
    WireError,
)

SEED = 7
SHORT, FULL = 6_000, 300_000  # packets of each stream, every second one damaged
PERIOD = 0.02  # between two packets [s]
SKEW = -3.5  # what the sender's clock shows more than ours [s]
AGE, DELAY = 0.05, 0.0004  # of an item when it is sent, and of a packet on its way [s]
CLOSE = 0.003  # how right the stamp of a good packet must be [s]
PICTURE = cv2.imencode(".jpg", np.zeros((16, 24, 3), np.uint8))[1].tobytes()
Stamp = Callable[[float, float | None], float]  # of newest time and send time: the offset


def camera(acquired: float) -> Parts:
    return CameraFrame("zed", acquired, PICTURE, 24, 16, acquired + AGE).pack()


def robot(acquired: float) -> Parts:
    return RobotPacket(acquired, acquired + AGE, 1.0, (1.0,) * 6, (2.0,) * 6).pack()


def sensor(acquired: float) -> Parts:
    times = acquired + np.arange(-2, 1) / SENSOR_RATE
    values = np.full((3, SENSOR_CHANNELS), acquired % 1.0, "f4")
    return [SensorDatagram(times, np.full(3, acquired + AGE), values[:, 0], values[:, 1:]).pack()]


def take_camera(parts: Parts, stamp: Stamp) -> float:
    frame = CameraFrame.unpack(parts, 1_000_000)
    offset = stamp(frame.timestamp, frame.send_time)
    return convert.seconds(convert.compressed_image(frame, offset, "view1").header.stamp)


def take_robot(parts: Parts, stamp: Stamp) -> float:
    packet = RobotPacket.unpack(parts)
    state = convert.robot_state(packet, stamp(packet.origin_time, packet.send_time), "base_link")
    convert.joint_state(state, ["joint"] * 6)
    return convert.seconds(convert.pose(state).header.stamp)


@dataclass(frozen=True, slots=True)
class SensorTaker:
    window: SensorWindow

    def __call__(self, parts: Parts, stamp: Stamp) -> float:
        datagram = SensorDatagram.unpack(b"".join(parts))
        offset = stamp(float(datagram.times[-1]), float(datagram.send_times[-1]))
        batch = convert.sensor_batch(datagram, offset, "sensor")
        self.window.append(*convert.sensor_arrays(batch), batch.clock_offset)
        assert np.isfinite(self.window.snapshot().values).all()
        return convert.seconds(batch.header.stamp)


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "take"),
    [
        (camera, take_camera),
        (robot, take_robot),
        (sensor, SensorTaker(SensorWindow(65, SENSOR_CHANNELS, SENSOR_RATE))),
    ],
    ids=["camera", "robot", "sensor"],
)
def test_damaged_packets_harm_no_good_one(
    make: Callable[[float], Parts], take: Callable[[Parts, Stamp], float], full: bool
) -> None:
    clock, source = HostClock(), random.Random(SEED)
    refused = read = 0
    for number in range(FULL if full else SHORT):
        received = NOW + number * PERIOD
        acquired = received - DELAY * (1 + source.random()) - AGE

        def stamp(newest: float, sent: float | None, received: float = received) -> float:
            return clock.observe(
                newest_time=newest, send_time=sent, receive_time=received, steady_time=received
            ).offset

        packet = make(acquired + SKEW)
        if number % 2:
            try:
                take(mutate(packet, source), stamp)
                read += 1
            except WireError:
                refused += 1
        else:
            error = take(packet, stamp) - acquired
            known = number * PERIOD > 2 * CALIBRATION_TIME
            assert abs(error) < CLOSE or not known, (number, error)
    assert refused > read > 0

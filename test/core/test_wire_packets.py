"""The layouts are packed here by hand, field by field, from the senders' descriptions."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from wire_cases import BAD_TIMES, GOOD_TIMES, NOT_FINITE, NOW, refused

from vla_inference_ros.core.wire import RobotPacket, SensorDatagram

# --- robot

FORCE, JOINTS, POSE = 1.5, (10.0, -20.0, 30.5, -40.25, 50.0, -60.0), (190.5, -1, 308, 0.5, 90, -45)


def robot_payload(origin: float = NOW, send: float = NOW + 0.5, *floats: float) -> bytes:
    return (
        struct.pack("<d", origin)
        + struct.pack("<d", send)
        + b"".join(struct.pack("<f", value) for value in (floats or (FORCE, *JOINTS, *POSE)))
    )


def test_robot_message() -> None:
    payload = robot_payload()
    assert len(payload) == 68
    packet = RobotPacket.unpack([b"robot_state", payload])
    assert packet == RobotPacket(NOW, NOW + 0.5, FORCE, JOINTS, POSE)
    assert packet.pack() == [b"robot_state", payload]


def test_robot_values_are_those_of_the_wire() -> None:
    floats = [0.1 * index for index in range(13)]
    packet = RobotPacket.unpack([b"robot_state", robot_payload(NOW, NOW, *floats)])
    expected = [float(np.float32(value)) for value in floats]
    assert [packet.force, *packet.joints, *packet.pose] == expected


@pytest.mark.parametrize("count", [0, 1, 3])
def test_robot_part_count(count: int) -> None:
    with refused("part count", f"has {count} part"):
        RobotPacket.unpack([b"robot_state", robot_payload(), b""][:count])


@pytest.mark.parametrize("topic", [b"", b"robot_state2", b"ROBOT_STATE", b"robot", b"\xff" * 500])
def test_robot_topic(topic: bytes) -> None:
    with refused("unknown topic"):
        RobotPacket.unpack([topic, robot_payload()])


@pytest.mark.parametrize("size", [0, 1, 67, 69, 136])
def test_robot_size(size: int) -> None:
    with refused("wrong size", f"payload is {size} bytes, not 68"):
        RobotPacket.unpack([b"robot_state", (robot_payload() * 2)[:size]])


@pytest.mark.parametrize("index", range(13))
@pytest.mark.parametrize("value", NOT_FINITE)
def test_robot_numbers_must_be_finite(index: int, value: float) -> None:
    floats = [0.0] * 13
    floats[index] = value
    with refused("not finite"):
        RobotPacket.unpack([b"robot_state", robot_payload(NOW, NOW, *floats)])


@pytest.mark.parametrize("time", BAD_TIMES)
def test_robot_time_that_cannot_be(time: float) -> None:
    with refused("bad time", "robot origin time"):
        RobotPacket.unpack([b"robot_state", robot_payload(time, NOW)])
    with refused("bad time", "robot send time"):
        RobotPacket.unpack([b"robot_state", robot_payload(NOW, time)])


@pytest.mark.parametrize("time", GOOD_TIMES)
def test_robot_time_that_can_be(time: float) -> None:
    packet = RobotPacket.unpack([b"robot_state", robot_payload(time, time)])
    assert packet.origin_time == packet.send_time == time


@pytest.mark.parametrize("age", [-0.09, 0.0, 59.9])
def test_robot_age_that_can_be(age: float) -> None:
    packet = RobotPacket.unpack([b"robot_state", robot_payload(NOW, NOW + age)])
    assert packet.send_time - packet.origin_time == pytest.approx(age, abs=1e-6)


@pytest.mark.parametrize(("age", "when"), [(-0.11, "before"), (60.1, "after"), (1e6, "after")])
def test_robot_states_are_sent_when_they_are_new(age: float, when: str) -> None:
    with refused("bad time", f"robot state was sent .* s {when} its acquisition"):
        RobotPacket.unpack([b"robot_state", robot_payload(NOW, NOW + age)])


# --- sensor


def sensor_sample(index: int, **changes: Any) -> bytes:
    time, send = changes.get("time", NOW + index / 650), changes.get("send_time", NOW + 0.02)
    ascan = changes.get("ascan", [index + point / 1024 for point in range(1025)])
    return struct.pack("<ddf", time, send, changes.get("force", index / 8)) + struct.pack(
        "<1025f", *ascan
    )


def sensor_datagram(count: int = 3, *, said: int | None = None, **changes: Any) -> bytes:
    """A datagram whose last sample has ``changes``."""
    samples = [sensor_sample(index) for index in range(count - 1)]
    samples.append(sensor_sample(count - 1, **changes))
    return struct.pack("<I", count if said is None else said) + b"".join(samples)


@pytest.mark.parametrize("count", [1, 2, 15])
def test_sensor_datagram(count: int) -> None:
    data = sensor_datagram(count)
    assert len(data) == 4 + 4120 * count
    datagram = SensorDatagram.unpack(data)
    assert datagram.times.tolist() == [NOW + index / 650 for index in range(count)]
    assert datagram.send_times.tolist() == [NOW + 0.02] * count
    assert datagram.force.tolist() == [index / 8 for index in range(count)]
    expected = np.arange(count)[:, None] + np.arange(1025) / 1024
    np.testing.assert_array_equal(datagram.ascan, expected.astype(np.float32))
    assert datagram.force.dtype == datagram.ascan.dtype == np.float32
    assert datagram.pack() == data


def test_sensor_arrays_are_read_only() -> None:
    datagram = SensorDatagram.unpack(sensor_datagram())
    for array in (datagram.times, datagram.send_times, datagram.force, datagram.ascan):
        assert not array.flags.writeable


@pytest.mark.parametrize("size", [0, 1, 3, 4, 4 + 4119, 4 + 4121, 4120 * 3, 4 + 4120 * 3 - 1])
def test_sensor_size(size: int) -> None:
    with refused("wrong size", f"datagram is {size} bytes, not 4 \\+ 4120 n"):
        SensorDatagram.unpack(sensor_datagram()[:size])


def test_sensor_datagram_with_too_many_samples_is_refused_by_its_length() -> None:
    assert len(SensorDatagram.unpack(sensor_datagram(15)).times) == 15
    with refused("wrong size", f"datagram is {4 + 4120 * 16} bytes, more than 15 samples"):
        SensorDatagram.unpack(sensor_datagram(16))


@pytest.mark.parametrize("said", [0, 2, 4, 2**32 - 1, 0x03000000])
def test_sensor_count(said: int) -> None:
    with refused("wrong count", f"says {said} samples, but holds 3"):
        SensorDatagram.unpack(sensor_datagram(3, said=said))


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("point", [0, 512, 1024])
def test_sensor_numbers_must_be_finite(value: float, point: int) -> None:
    ascan = [0.0] * 1025
    ascan[point] = value
    for bad in ({"force": value}, {"ascan": ascan}):
        with refused("not finite"):
            SensorDatagram.unpack(sensor_datagram(**bad))


@pytest.mark.parametrize("time", BAD_TIMES)
@pytest.mark.parametrize("key", ["time", "send_time"])
def test_sensor_time_that_cannot_be(key: str, time: float) -> None:
    change: dict[str, Any] = {key: time}
    with refused("bad time", f"sensor {key} "):
        SensorDatagram.unpack(sensor_datagram(**change))


@pytest.mark.parametrize("time", GOOD_TIMES)
def test_sensor_time_that_can_be(time: float) -> None:
    datagram = SensorDatagram.unpack(sensor_datagram(1, time=time, send_time=time))
    assert datagram.times[0] == datagram.send_times[0] == time


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize(("age", "when"), [(-0.11, "before"), (60.1, "after")])
def test_sensor_samples_are_sent_when_they_are_new(index: int, age: float, when: str) -> None:
    times = np.array([NOW, NOW + 0.001, NOW + 0.002])
    send_times = times + 0.01
    send_times[index] = times[index] + age
    with refused("bad time", f"sensor sample was sent .* s {when} its acquisition"):
        SensorDatagram.unpack(packed(times, send_times))


def test_sensor_times_must_not_decrease() -> None:
    same = np.array([NOW, NOW, NOW + 0.001])
    assert SensorDatagram.unpack(packed(same, same)).times.tolist() == same.tolist()
    with refused("bad time", "times must not decrease within a datagram"):
        SensorDatagram.unpack(packed(same[::-1], same))


def packed(times: NDArray[np.float64], send_times: NDArray[np.float64]) -> bytes:
    """A datagram of samples that are all zero."""
    zeros = np.zeros((len(times), 1025), np.float32)
    return SensorDatagram(times, send_times, zeros[:, 0], zeros).pack()

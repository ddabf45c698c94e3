from __future__ import annotations

import math
import random
import struct
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from vla_inference_ros import convert
from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.core.wire import RobotPacket, SensorDatagram, WireError
from vla_inference_ros.msg import RobotState, SensorBatch, StageTiming

NOW = 1_700_000_000.25
OFFSETS = [0.0, -3600.5, 1e7]
IMPOSSIBLE_OFFSETS = [5e8, -8e8, math.nan]


def over_the_wire(message: Any) -> Any:
    """What a subscriber gets."""
    return deserialize_message(serialize_message(message), type(message))


# --- times


@pytest.mark.parametrize(
    ("seconds", "sec", "nanosec"),
    [
        (0.0, 0, 0),
        (0.5, 0, 500_000_000),
        (1.0000000004, 1, 0),
        (1.0000000006, 1, 1),
        (0.9999999996, 1, 0),
        (0.9999999994, 0, 999_999_999),
        (NOW, 1_700_000_000, 250_000_000),
        (2.0**31 - 1, 2**31 - 1, 0),
        (-0.25, -1, 750_000_000),
        (-1.0, -1, 0),
        (-1.75, -2, 250_000_000),
        (-1e-12, 0, 0),
        (-2.0000000004, -2, 0),
    ],
)
def test_time_is_rounded_to_the_nanosecond(seconds: float, sec: int, nanosec: int) -> None:
    assert convert.time_message(seconds) == Time(sec=sec, nanosec=nanosec)


def test_a_time_comes_back_as_the_same_number() -> None:
    source = random.Random(1)
    for _ in range(1000):
        time = source.uniform(9.5e8, 2.0**31 - 1)
        assert convert.seconds(convert.time_message(time)) == time
    assert convert.seconds(Time(sec=-1, nanosec=750_000_000)) == -0.25


def test_header() -> None:
    assert convert.header(NOW, "sensor") == Header(
        stamp=Time(sec=1_700_000_000, nanosec=250_000_000), frame_id="sensor"
    )
    assert convert.header(0.0) == Header()


def test_stage_timing() -> None:
    summary = Summary(count=9, mean=0.1, p50=0.2, p95=0.3, p99=0.4, misses=2)
    message = over_the_wire(convert.stage_timing("wire to topic", summary, 0.25))
    assert message == StageTiming(
        stage="wire to topic",
        count=9,
        mean=0.1,
        p50=0.2,
        p95=0.3,
        p99=0.4,
        deadline=0.25,
        misses=2,
    )


def test_a_stage_without_values_is_all_zeros_but_for_its_deadline() -> None:
    message = over_the_wire(convert.stage_timing("vlm", Summary(), math.inf))
    assert message == StageTiming(stage="vlm", deadline=math.inf)


# --- rotations


def rotation_of_euler(alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """Rx(alpha) Ry(beta) Rz(gamma), from the three matrices."""
    (ca, cb, cg), (sa, sb, sg) = np.cos([alpha, beta, gamma]), np.sin([alpha, beta, gamma])
    about_x = np.array([[1, 0, 0], [0, ca, -sa], [0, sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cg, -sg, 0], [sg, cg, 0], [0, 0, 1]])
    result: NDArray[np.float64] = about_x @ about_y @ about_z
    return result


def rotation_of_quaternion(x: float, y: float, z: float, w: float) -> NDArray[np.float64]:
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


SPECIAL_ANGLES = [
    (0.0, 0.0, 0.0),
    (math.pi, 0.0, 0.0),
    (0.0, math.pi / 2, 0.0),
    (0.3, math.pi / 2, -0.7),
    (0.3, -math.pi / 2, -0.7),
    (0.0, 0.0, -math.pi),
    (math.pi, math.pi, math.pi),
    (2 * math.pi, 0.0, 0.0),
    (-6.0, 5.0, 4.0),
]


def test_quaternion_is_the_same_rotation_as_the_three_matrices() -> None:
    random_angles = np.random.default_rng(1).uniform(-2 * math.pi, 2 * math.pi, (200, 3))
    for angles in [*SPECIAL_ANGLES, *random_angles.tolist()]:
        quaternion = convert.quaternion_from_euler_xyz(*angles)
        np.testing.assert_allclose(
            rotation_of_quaternion(*quaternion), rotation_of_euler(*angles), atol=1e-12
        )
        assert np.linalg.norm(quaternion) == pytest.approx(1.0)
        assert quaternion[3] >= 0.0


# --- robot

PACKET = RobotPacket(
    origin_time=NOW,
    send_time=NOW + 0.5,
    force=-1.5,
    joints=(180.0, -90.0, 45.0, 0.0, 1.0, -360.0),
    pose=(1000.0, -1.0, 0.5, 90.0, -45.0, 30.0),
)
JOINT_NAMES = [f"joint_{index}" for index in range(1, 7)]


@pytest.mark.parametrize("offset", OFFSETS)
def test_robot_state_is_the_whole_packet_in_si_units(offset: float) -> None:
    state = over_the_wire(convert.robot_state(PACKET, offset, "base_link"))
    assert state.header == convert.header(NOW + offset, "base_link")
    assert state.send_stamp == convert.time_message(NOW + 0.5 + offset)
    assert state.clock_offset == offset
    assert state.force == -1.5
    pi = math.pi
    np.testing.assert_allclose(
        state.joint_position, [pi, -pi / 2, pi / 4, 0, pi / 180, -2 * pi], rtol=1e-15
    )
    np.testing.assert_allclose(state.position, [1.0, -0.001, 0.0005], rtol=1e-15)
    np.testing.assert_allclose(state.euler_xyz, [pi / 2, -pi / 4, pi / 6], rtol=1e-15)


@pytest.mark.parametrize("offset", IMPOSSIBLE_OFFSETS)
def test_an_offset_that_gives_a_state_an_impossible_time_is_an_error_of_the_wire(
    offset: float,
) -> None:
    with pytest.raises(WireError, match="was a clock set") as caught:
        convert.robot_state(PACKET, offset, "base_link")
    assert caught.value.kind == "bad time"


LAST_TIME = 2.0**31 - 1


@pytest.mark.parametrize(
    "packet", [replace(PACKET, origin_time=LAST_TIME), replace(PACKET, send_time=LAST_TIME)]
)
def test_both_times_of_a_state_must_be_possible(packet: RobotPacket) -> None:
    convert.robot_state(packet, 0.0, "base_link")
    with pytest.raises(WireError, match="was a clock set"):
        convert.robot_state(packet, 1.0, "base_link")


def test_joint_state() -> None:
    state = convert.robot_state(PACKET, 0.0, "base_link")
    message = over_the_wire(convert.joint_state(state, JOINT_NAMES))
    assert message.header == convert.header(NOW)
    assert message.name == JOINT_NAMES
    assert message.position.tolist() == state.joint_position.tolist()
    assert not len(message.velocity)
    assert not len(message.effort)


def test_pose() -> None:
    state = convert.robot_state(PACKET, 0.0, "base_link")
    message = over_the_wire(convert.pose(state))
    assert message.header == state.header
    position, orientation = message.pose.position, message.pose.orientation
    np.testing.assert_allclose([position.x, position.y, position.z], [1.0, -0.001, 0.0005])
    np.testing.assert_allclose(
        rotation_of_quaternion(orientation.x, orientation.y, orientation.z, orientation.w),
        rotation_of_euler(math.pi / 2, -math.pi / 4, math.pi / 6),
        atol=1e-12,
    )


def test_the_largest_numbers_that_the_wire_lets_through_are_converted() -> None:
    largest = struct.unpack("<f", bytes.fromhex("ffff7f7f"))[0]
    packet = RobotPacket(NOW, NOW, largest, (largest,) * 6, (-largest,) * 6)
    state = over_the_wire(convert.robot_state(packet, 0.0, ""))
    assert isinstance(state, RobotState)
    assert state.force == largest
    assert np.isfinite(convert.pose(state).pose.orientation.w)


# --- sensor


def datagram(count: int, time: float = NOW) -> SensorDatagram:
    source = np.random.default_rng(count)
    return SensorDatagram(
        times=time + np.arange(count) / 650.0,
        send_times=np.full(count, time + 0.03),
        force=source.normal(size=count).astype(np.float32),
        ascan=source.normal(scale=1e-30, size=(count, 1025)).astype(np.float32),
    )


@pytest.mark.parametrize("count", [1, 15])
@pytest.mark.parametrize("offset", OFFSETS)
def test_samples_survive_the_way_through_the_message(count: int, offset: float) -> None:
    received = SensorDatagram.unpack(datagram(count).pack())
    batch = over_the_wire(convert.sensor_batch(received, offset, "sensor"))
    assert batch.header == Header(stamp=batch.stamps[-1], frame_id="sensor")
    assert (batch.ascan_length, batch.clock_offset) == (1025, offset)
    times, force, ascan = convert.sensor_arrays(batch)
    np.testing.assert_array_equal(times, received.times + offset)
    np.testing.assert_array_equal(force, received.force)
    np.testing.assert_array_equal(ascan, received.ascan)
    assert force.dtype == ascan.dtype == np.float32
    assert ascan.shape == (count, 1025)


@pytest.mark.parametrize("offset", IMPOSSIBLE_OFFSETS)
def test_an_offset_that_gives_impossible_times_is_an_error_of_the_wire(offset: float) -> None:
    with pytest.raises(WireError, match="was a clock set") as caught:
        convert.sensor_batch(datagram(2), offset, "sensor")
    assert caught.value.kind == "bad time"


def test_a_batch_with_one_impossible_time_is_an_error_of_the_wire() -> None:
    latest = datagram(3, LAST_TIME - 2 / 650.0)
    convert.sensor_batch(latest, 0.0, "sensor")
    with pytest.raises(WireError, match="was a clock set"):
        convert.sensor_batch(latest, 1 / 650.0, "sensor")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stamps", []),
        ("stamps", [Time()] * 2),
        ("force", array("f", [0.0] * 4)),
        ("force", array("f")),
        ("ascan", array("f", [0.0] * 3074)),
        ("ascan", array("f")),
        ("ascan_length", 0),
        ("ascan_length", 1026),
        ("ascan_length", 2**32 - 1),
    ],
)
def test_a_batch_whose_lengths_do_not_fit_is_refused(name: str, value: Any) -> None:
    batch = convert.sensor_batch(datagram(3), 0.0, "sensor")
    setattr(batch, name, value)
    with pytest.raises(ValueError, match="publish as many of each"):
        convert.sensor_arrays(batch)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="sensor batch has 0 stamps"):
        convert.sensor_arrays(SensorBatch())

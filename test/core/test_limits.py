"""Finite nonsense is told from what a robot and a sensor can measure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from wire_cases import NOW, refused

from vla_inference_ros.core.limits import (
    JOINT_MAXIMA,
    JOINT_MINIMA,
    MECA500_JOINTS,
    RobotLimits,
    SensorLimits,
    oddity,
)
from vla_inference_ros.core.wire import ASCAN_LENGTH, RobotPacket, SensorDatagram
from vla_inference_ros.sim.robot_path import robot_packet

HUGE = 3e38  # what a float32 can just hold
GOOD = robot_packet(NOW, NOW)
ZEROS = (0.0,) * 6


def with_joint(number: int, angle: float) -> RobotPacket:
    joints = list(GOOD.joints)
    joints[number - 1] = angle
    return replace(GOOD, joints=tuple(joints))


def with_pose(place: int, value: float) -> RobotPacket:
    pose = list(GOOD.pose)
    pose[place] = value
    return replace(GOOD, pose=tuple(pose))


def test_a_simulated_arm_and_the_ends_of_a_real_ones_range_are_believed() -> None:
    RobotLimits().check(GOOD)
    assert oddity(GOOD) == ""
    for number, ends in enumerate(MECA500_JOINTS, start=1):
        for end in ends:
            RobotLimits().check(with_joint(number, end + math.copysign(1.0, end)))
    RobotLimits().check(RobotPacket(NOW, NOW, 0.0, JOINT_MAXIMA, (1000.0,) * 3 + (-180.0,) * 3))
    RobotLimits().check(RobotPacket(NOW, NOW, 0.0, JOINT_MINIMA, (-1000.0,) * 3 + (180.0,) * 3))


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("angle", [HUGE, -HUGE, 36100.0, -1e6])
def test_an_angle_that_no_joint_has_is_named(number: int, angle: float) -> None:
    with refused("joint out of range", f"joint {number} is at .* deg, not "):
        RobotLimits().check(with_joint(number, angle))


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("value", [HUGE, -HUGE, 2e6, -1001.0])
def test_a_position_kilometres_away_is_named(place: int, value: float) -> None:
    with refused("pose out of range", f"{'xyz'[place]} of the pose is .* mm, beyond 1000"):
        RobotLimits().check(with_pose(place, value))


@pytest.mark.parametrize("place", range(3, 6))
def test_an_orientation_beyond_a_turn_is_named(place: int) -> None:
    with refused("pose out of range", "of the pose is .* deg, beyond a whole turn"):
        RobotLimits().check(with_pose(place, 361.0))


@pytest.mark.parametrize("force", [HUGE, -HUGE, 1001.0])
def test_a_force_that_would_break_the_arm_is_named(force: float) -> None:
    with refused("force out of range", "a force is .* N, beyond 1000"):
        RobotLimits().check(replace(GOOD, force=force))


def test_a_state_of_nothing_but_zeros_is_named() -> None:
    with refused("empty state", "does the sender read the robot at all"):
        RobotLimits().check(RobotPacket(NOW, NOW, 1.5, ZEROS, ZEROS))
    with refused("empty state"):
        RobotLimits().check(RobotPacket(NOW, NOW, 0.0, (-0.0,) * 6, (-0.0,) * 6))


@pytest.mark.parametrize("rest", [1e-45, -1e-40, 1e-7])
def test_numbers_that_nobody_has_filled_in_are_zeros(rest: float) -> None:
    """A big-endian sender's, or those of memory as it was: no robot resolves them."""
    tiny = (rest,) * 6
    with refused("empty state"):
        RobotLimits().check(RobotPacket(NOW, NOW, 1.5, tiny, tiny))
    assert oddity(replace(GOOD, joints=tiny)).startswith("all joints are 0")
    assert oddity(replace(GOOD, pose=tiny)).startswith("the whole pose is 0")
    RobotLimits().check(replace(GOOD, joints=(0.001, *ZEROS[1:]), pose=ZEROS))


def test_half_a_state_of_zeros_is_odd_and_believed() -> None:
    for packet, said in (
        (replace(GOOD, joints=ZEROS), "all joints are 0"),
        (replace(GOOD, pose=ZEROS), "the whole pose is 0"),
    ):
        RobotLimits().check(packet)
        assert said in oddity(packet)


def test_another_arm_has_limits_of_its_own() -> None:
    limits = RobotLimits((-400.0,) * 6, (400.0,) * 6, position=5000.0, force=1e6)
    limits.check(replace(with_joint(5, 350.0), pose=(4000.0, 0.0, 0.0, 0.0, 0.0, 0.0), force=1e5))
    with refused("joint out of range"):
        limits.check(with_joint(6, 401.0))


@pytest.mark.parametrize(
    ("minima", "maxima"),
    [
        ((0.0,) * 5, (1.0,) * 6),
        ((0.0,) * 7, (1.0,) * 7),
        ((0.0,) * 6, (0.0,) * 6),
        ((1.0,) * 6, (-1.0,) * 6),
        ((math.nan,) * 6, (1.0,) * 6),
        ((0.0,) * 6, (math.inf,) * 6),
    ],
)
def test_joint_ranges_that_are_none_are_refused(
    minima: tuple[float, ...], maxima: tuple[float, ...]
) -> None:
    with pytest.raises(ValueError, match=r"one a joint|is no range"):
        RobotLimits(minima, maxima)


def samples(force: float = 0.0, point: float = 0.0) -> SensorDatagram:
    """Three samples, the second of which has the force and the last the point of an A-scan."""
    times = np.array([NOW, NOW + 0.001, NOW + 0.002])
    ascan = np.zeros((3, ASCAN_LENGTH), np.float32)
    ascan[2, ASCAN_LENGTH - 1] = point
    return SensorDatagram(times, times, np.array([0.5, force, -0.5], np.float32), ascan)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_what_no_sensor_measures_is_named(sign: float) -> None:
    SensorLimits().check(samples(sign * 1000.0, sign * 65535.0))
    with refused("force out of range", "a force is .* N, beyond 1000"):
        SensorLimits().check(samples(force=sign * HUGE))
    with refused("force out of range"):
        SensorLimits().check(samples(force=sign * 1001.0))
    with refused("A-scan out of range", "a point of magnitude 3e.38, over 1e.09"):
        SensorLimits().check(samples(point=sign * HUGE))
    SensorLimits(force=1e9, ascan=1e30).check(samples(sign * 1e8, sign * 1e20))

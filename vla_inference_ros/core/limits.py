"""What a rig can measure at all: finite numbers beyond that are nonsense, and are refused.

Owns the ranges and their defaults, those of the existing rig: a Meca500 with a needle, a force
sensor and an OCT fibre. They tell a broken sender from a robot, and are no limits of motion. Units
are the wire's: deg, mm, N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vla_inference_ros.core.wire import RobotPacket, SensorDatagram, WireError

# Meca500 R3: range of J1..J6 [deg].
MECA500_JOINTS = (
    (-175.0, 175.0),
    (-70.0, 90.0),
    (-135.0, 70.0),
    (-170.0, 170.0),
    (-115.0, 115.0),
    (-36000.0, 36000.0),
)
_OVERRUN = 5.0  # an arm that has run over the end of its range by so much is believed [deg]
JOINT_MINIMA = tuple(low - _OVERRUN for low, _ in MECA500_JOINTS)
JOINT_MAXIMA = tuple(high + _OVERRUN for _, high in MECA500_JOINTS)
MOST_POSITION = 1000.0  # of x, y and z: twice the arm's reach, for a tool and a frame [mm]
MOST_FORCE = 1000.0  # a hundred times what the arm can bear [N]
MOST_ASCAN = 1e9  # of an A-scan's points, whose unit is the sender's: over any count of a converter
_ZERO = 1e-6  # under what any robot resolves: what memory holds that nobody has filled [deg, mm]
_MOST_ANGLE = 360.0  # of the pose's Euler angles, which repeat after that [deg]

ZEROS = "joints or pose all 0"


@dataclass(frozen=True, slots=True)
class RobotLimits:
    """``joint_minima`` and ``joint_maxima`` [deg] of all joints; the largest ``position`` of each
    axis [mm] and ``force`` [N], either way. All limits are themselves allowed.
    """

    joint_minima: Sequence[float] = JOINT_MINIMA
    joint_maxima: Sequence[float] = JOINT_MAXIMA
    position: float = MOST_POSITION
    force: float = MOST_FORCE

    def __post_init__(self) -> None:
        """ValueError if the joints' ranges are none."""
        joints = len(JOINT_MINIMA)
        if not len(self.joint_minima) == len(self.joint_maxima) == joints:
            raise ValueError(
                f"{len(self.joint_minima)} lower and {len(self.joint_maxima)} upper limits, not "
                f"{joints} each, one a joint"
            )
        ranges = zip(self.joint_minima, self.joint_maxima, strict=True)
        for number, (low, high) in enumerate(ranges, start=1):
            if not -math.inf < low < high < math.inf:  # nor NaN
                raise ValueError(
                    f"joint {number} from {low:g} to {high:g} deg is no range: the lower limit is "
                    "to be under the upper one, and both finite"
                )

    def check(self, packet: RobotPacket) -> None:
        """Raises WireError unless a robot can be in this state."""
        if _all_zero((*packet.joints, *packet.pose)):
            raise WireError(
                "empty state",
                "all joints and the whole pose are 0, where no tool can be: does the sender read "
                "the robot at all?",
            )
        ranges = zip(packet.joints, self.joint_minima, self.joint_maxima, strict=True)
        for number, (angle, low, high) in enumerate(ranges, start=1):
            if not low <= angle <= high:
                raise WireError(
                    "joint out of range",
                    f"joint {number} is at {angle:.6g} deg, not {low:g} to {high:g}: is the "
                    "sender's unit deg? For another arm set joint_minima and joint_maxima",
                )
        for axis, value in zip("xyz", packet.pose, strict=False):
            if abs(value) > self.position:
                raise WireError(
                    "pose out of range",
                    f"{axis} of the pose is {value:.6g} mm, beyond {self.position:g}: is the "
                    "sender's unit mm? For a larger arm raise position_limit",
                )
        for angle_name, value in zip(("alpha", "beta", "gamma"), packet.pose[3:], strict=True):
            if abs(value) > _MOST_ANGLE:
                raise WireError(
                    "pose out of range",
                    f"{angle_name} of the pose is {value:.6g} deg, beyond a whole turn: is the "
                    "sender's unit deg, and its packet the one that is expected?",
                )
        _check_force(packet.force, self.force)


def oddity(packet: RobotPacket) -> str:
    """What is odd about a state that a robot can be in all the same; '' if nothing is."""
    if _all_zero(packet.joints):
        return "all joints are 0: is the arm at its zero position, or are they not read at all?"
    if _all_zero(packet.pose):
        return "the whole pose is 0: is the tool at its frame's origin, or is it not read at all?"
    return ""


def _all_zero(values: Sequence[float]) -> bool:
    return all(abs(value) < _ZERO for value in values)


@dataclass(frozen=True, slots=True)
class SensorLimits:
    """The largest ``force`` [N] and ``ascan`` [sender's unit], either way; both are allowed."""

    force: float = MOST_FORCE
    ascan: float = MOST_ASCAN

    def check(self, datagram: SensorDatagram) -> None:
        """Raises WireError unless the sensor can have measured all samples of a datagram."""
        _check_force(float(max(datagram.force, key=abs)), self.force)
        largest = float(max(datagram.ascan.max(), -datagram.ascan.min()))
        if largest > self.ascan:
            raise WireError(
                "A-scan out of range",
                f"an A-scan has a point of magnitude {largest:.6g}, over {self.ascan:g}: are the "
                "sender's numbers float32, little-endian? If they are right raise ascan_limit",
            )


def _check_force(force: float, limit: float) -> None:
    if abs(force) > limit:
        raise WireError(
            "force out of range",
            f"a force is {force:.6g} N, beyond {limit:g}: is the sensor connected, and its unit N? "
            "If it is right raise force_limit",
        )

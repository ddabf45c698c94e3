"""The simulated arm's path: the robot packet that a Meca500 inserting the needle would send.

Does not own the needle's motion or the socket. The pose follows the needle exactly along its axis.
The joint angles are linear in the depth around one posture: smooth, well within the Meca500 R3's
limits and of plausible size, but they are not the inverse kinematics of the pose.
"""

from __future__ import annotations

import math

import numpy as np

from vla_inference_ros.core.wire import RobotPacket
from vla_inference_ros.sim.needle import (
    PERIOD,
    TOOL_ALPHA,
    TOOL_BETA,
    contact_forces,
    needle_axis,
    needle_depth,
)

# Meca500 R3: top speed of J1..J6 [deg/s].
JOINT_SPEED_LIMITS = (150.0, 150.0, 180.0, 300.0, 300.0, 500.0)

_JOINTS_AT_ENTRY = np.array([-12.2, 28.0, 15.0, -18.0, 52.0, 35.0])  # deg
_JOINTS_PER_MM = np.array([-0.15, 0.42, -0.30, 0.06, -0.22, -0.04])  # deg/mm of depth
_ENTRY = np.array([185.0, -40.0, 118.0])  # mm, where the needle meets the eye's surface
_ROLL = 5.0  # deg, the needle's slow turning about its own axis


def robot_packet(t: float, send_time: float) -> RobotPacket:
    """The robot's state at Unix time ``t`` [s], as sent at ``send_time`` [s].

    Joints [deg], pose x, y, z [mm] and mobile-XYZ Euler angles [deg], force [N].
    """
    depth = needle_depth(t)
    roll = _ROLL * math.sin(2.0 * math.pi * math.fmod(t, PERIOD) / PERIOD)
    position = _ENTRY + needle_axis() * (depth * 1e3)
    joints = _JOINTS_AT_ENTRY + _JOINTS_PER_MM * (depth * 1e3)
    joints[5] += roll
    return RobotPacket(
        origin_time=t,
        send_time=send_time,
        force=float(contact_forces(np.array([depth]))[0]),
        joints=tuple(joints.tolist()),
        pose=(*position.tolist(), TOOL_ALPHA, TOOL_BETA, roll),
    )

"""What an action chunk predicts, in SI units, and the standard messages that show it.

Pure functions, no node needed. The only place that knows what an action's numbers may stand for:
joint positions or the tool's pose, absolute or relative to the robot, in the checkpoint's units.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from nav_msgs.msg import Path
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.time import Time as RosTime
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_inference_ros.convert import pose, seconds
from vla_inference_ros.core.wire import LATEST_TIME
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk, RobotState
from vla_inference_ros.nodes.chunk_steps import ChunkError, check_finite, shaped_steps

JOINTS, POSE = SPACES = ("joints", "pose")
ANGLES = {"rad": 1.0, "deg": math.radians(1.0)}  # [rad] in one
LENGTHS = {"m": 1.0, "mm": 0.001}  # [m] in one
AXES = len(ACTION_NAMES) - 1  # numbers of a step before the gripper's: of the arm


@dataclass(frozen=True, slots=True)
class Meaning:
    """How the numbers of an action are to be read.

    In ``space`` joints the first six are the joints' angles. In pose they are x, y, z and the
    mobile XYZ Euler angles alpha, beta, gamma of the tool: R = Rx(alpha) Ry(beta) Rz(gamma). The
    seventh is the gripper's. ``angle`` [rad] and ``length`` [m] are the size of their units. With
    ``is_relative``, each is added to the same number of the chunk's robot state, which knows of no
    gripper.
    """

    space: str
    is_relative: bool = False
    angle: float = 1.0
    length: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A chunk's H steps: ``arm`` (H, 6) [rad], or for poses [m, m, m, rad, rad, rad]; ``gripper``
    (H,) as it was. Step 0 is for ``stamp``, each next one for ``step_dt`` [s] later. From
    ``features_age`` [s] at step 0 follows theirs at each.
    """

    stamp: Time
    step_dt: float
    arm: NDArray[np.float64]
    gripper: NDArray[np.float64]
    valid_steps: int
    features_age: float

    @property
    def delays(self) -> list[Duration]:
        """From step 0 to each step."""
        return [Duration(nanoseconds=round(i * self.step_dt * 1e9)) for i in range(len(self.arm))]

    @property
    def duration(self) -> float:
        """What all steps are for [s]."""
        return len(self.arm) * self.step_dt

    def supersedes(self, earlier: Prediction) -> bool:
        """Whether it begins after ``earlier`` does, and before that one is over."""
        return 0 < seconds(self.stamp) - seconds(earlier.stamp) < earlier.duration


def predict(chunk: ActionChunk, meaning: Meaning) -> Prediction:
    """What a chunk predicts; ChunkError if it is none that can be shown."""
    steps = _steps(chunk)
    joints = meaning.space == JOINTS
    units = [meaning.angle] * AXES if joints else [meaning.length] * 3 + [meaning.angle] * 3
    arm = steps[:, :AXES] * units
    if meaning.is_relative:
        arm += _robot(chunk, joints)
    return Prediction(
        stamp=chunk.header.stamp,
        step_dt=chunk.step_dt,
        arm=arm,
        gripper=steps[:, AXES],
        valid_steps=chunk.valid_steps,
        features_age=chunk.features_age,
    )


def path(prediction: Prediction, frame_id: str) -> Path:
    """The tool's poses in ``frame_id``, each with its step's time."""
    start = RosTime.from_msg(prediction.stamp)
    message = Path(header=Header(stamp=prediction.stamp, frame_id=frame_id))
    for delay, values in zip(prediction.delays, prediction.arm, strict=True):
        stamp = Header(stamp=(start + delay).to_msg(), frame_id=frame_id)
        state = RobotState(header=stamp, position=values[:3], euler_xyz=values[3:])
        message.poses.append(pose(state))
    return message


def trajectory(
    prediction: Prediction, joint_names: Sequence[str], gripper_name: str
) -> JointTrajectory:
    """The joints' positions [rad] under their six names; the gripper's [the checkpoint's unit]
    after them if it has a name.
    """
    names, positions = list(joint_names), prediction.arm
    if gripper_name:
        names.append(gripper_name)
        positions = np.column_stack([positions, prediction.gripper])
    return JointTrajectory(
        header=Header(stamp=prediction.stamp),
        joint_names=names,
        points=[
            JointTrajectoryPoint(positions=array("d", row), time_from_start=delay.to_msg())
            for delay, row in zip(prediction.delays, positions, strict=True)
        ],
    )


def _steps(chunk: ActionChunk) -> NDArray[np.float64]:
    """The actions (H, 7), as they are."""
    steps = shaped_steps(chunk).astype(np.float64)
    start = seconds(chunk.header.stamp)
    if not (start >= 0 and chunk.step_dt > 0 and start + len(steps) * chunk.step_dt <= LATEST_TIME):
        raise ChunkError(
            "bad times",
            f"action chunk {chunk.chunk_id} begins at {start:.3f} s and has steps of "
            f"{chunk.step_dt:g} s, which are no possible times: which node publishes it?",
        )
    check_finite(chunk, steps)
    return steps


def _robot(chunk: ActionChunk, joints: bool) -> NDArray[np.float64]:
    """Where the robot was (6,): its joints [rad], or its pose [m, m, m, rad, rad, rad]."""
    state = chunk.robot_state
    if not seconds(state.header.stamp):
        raise ChunkError(
            "no robot state",
            f"action chunk {chunk.chunk_id} is relative to a robot state that it has not: is "
            "robot_bridge running?",
        )
    found = state.joint_position if joints else np.concatenate([state.position, state.euler_xyz])
    robot = np.array(found, np.float64)
    if not np.isfinite(robot).all():
        raise ChunkError(
            "not finite", f"action chunk {chunk.chunk_id} has a robot state with NaN or infinity"
        )
    return robot

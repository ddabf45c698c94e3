"""Whether a recorded message may be played: the nodes that infer from it would refuse it else.

The same functions judge that read a recording for every other purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CompressedImage, JointState

from vla_inference_ros.core.pictures import picture_size
from vla_inference_ros.msg import FrameInfo
from vla_inference_ros.recording.messages import (
    check_finite,
    robot_packet,
    sensor_datagram,
)
from vla_inference_ros.recording.topics import FRAME_INFO, IMAGES, ROBOT_STATE, SAMPLES


def check_playable(topic: str, message: Any) -> None:
    """ValueError for a message on one of ``topics.INPUTS`` that makes no sense, such as one with a
    picture that is empty or cut, a number that is not finite, or lists of unequal length.
    """
    check = _CHECKS.get(topic)
    if check is not None:
        check(message)


def _check_image(image: CompressedImage) -> None:
    picture_size(image.data.tobytes())  # also a PNG, which other drivers send and the VLM takes


def _check_info(info: FrameInfo) -> None:
    check_finite("frame info", info.clock_offset)


def _check_joints(state: JointState) -> None:
    names = len(state.name)
    for field in ("position", "velocity", "effort"):
        values = getattr(state, field)
        if len(values) not in (0, names):
            raise ValueError(f"joint state has {names} names, but {len(values)} of {field}")
        check_finite("joint state", *values)


def _check_pose(message: PoseStamped) -> None:
    position, turned = message.pose.position, message.pose.orientation
    check_finite("pose", position.x, position.y, position.z)
    check_finite("pose", turned.x, turned.y, turned.z, turned.w)


_CHECKS: dict[str, Callable[[Any], object]] = {
    **dict.fromkeys(IMAGES.values(), _check_image),
    FRAME_INFO: _check_info,
    ROBOT_STATE: lambda state: robot_packet(state, 0.0),
    SAMPLES: lambda batch: sensor_datagram(batch, 0.0),
    "/joint_states": _check_joints,
    "/robot/pose": _check_pose,
}

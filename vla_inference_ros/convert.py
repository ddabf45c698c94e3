"""Conversions between dataclasses and ROS messages, and from the wire's units to SI.

Pure functions, no node needed. The only place where its mm and deg become m and rad.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header

from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.core.wire import (
    EARLIEST_TIME,
    LATEST_TIME,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
    WireError,
)
from vla_inference_ros.msg import FrameInfo, RobotState, SensorBatch, StageTiming

_NANO = 1_000_000_000

try:
    from cv_bridge import CvBridge
except ImportError:  # not among the PyPI wheels; what drivers send needs no cv_bridge
    CvBridge = None


def time_message(seconds: float) -> Time:
    """Unix seconds as a message, rounded to the nanosecond; 0 stands for 'none'."""
    whole = math.floor(seconds)
    nanosec = round((seconds - whole) * _NANO)
    carry, nanosec = divmod(nanosec, _NANO)
    return Time(sec=whole + carry, nanosec=nanosec)


def seconds(stamp: Time) -> float:
    """A time message as Unix seconds."""
    return float(stamp.sec + stamp.nanosec / _NANO)


def header(stamp: float, frame_id: str = "") -> Header:
    """A header with a stamp [Unix s]."""
    return Header(stamp=time_message(stamp), frame_id=frame_id)


def stage_timing(stage: str, summary: Summary, deadline: float) -> StageTiming:
    """The statistics of one stage, times in seconds."""
    return StageTiming(
        stage=stage,
        count=summary.count,
        mean=summary.mean,
        p50=summary.p50,
        p95=summary.p95,
        p99=summary.p99,
        deadline=deadline,
        misses=summary.misses,
    )


def quaternion_from_euler_xyz(alpha: float, beta: float, gamma: float) -> NDArray[np.float64]:
    """(x, y, z, w) of R = Rx(alpha) Ry(beta) Rz(gamma), mobile XYZ Euler angles in rad.

    The product of the three axes' quaternions; w is never negative.
    """
    ca, cb, cg = (math.cos(angle / 2) for angle in (alpha, beta, gamma))
    sa, sb, sg = (math.sin(angle / 2) for angle in (alpha, beta, gamma))
    quaternion = np.array(
        [
            sa * cb * cg + ca * sb * sg,
            ca * sb * cg - sa * cb * sg,
            ca * cb * sg + sa * sb * cg,
            ca * cb * cg - sa * sb * sg,
        ]
    )
    return -quaternion if quaternion[3] < 0 else quaternion


def _own_times(clock_offset: float, *sender_times: float) -> list[float]:
    """A sender's times in this host's clock; WireError if they are no possible ones there."""
    times = [time + clock_offset for time in sender_times]
    if not (min(times) >= EARLIEST_TIME and max(times) <= LATEST_TIME):
        raise WireError(
            "bad time",
            f"the sender's time {sender_times[0]:.3f}, with the clock offset of "
            f"{clock_offset:+.3f} s, is not a Unix time in seconds: was a clock set?",
        )
    return times


# --- camera


def compressed_image(frame: CameraFrame, clock_offset: float, frame_id: str) -> CompressedImage:
    """The JPEG as received, stamped with its acquisition time, which is moved by ``clock_offset``
    [s] to this host's clock. WireError if that gives no possible time.
    """
    (stamp,) = _own_times(clock_offset, frame.timestamp)
    return CompressedImage(
        header=header(stamp, frame_id), format="jpeg", data=array("B", frame.jpeg)
    )


def frame_info(frame: CameraFrame, clock_offset: float, stamp: Header) -> FrameInfo:
    """What is known of a frame whose image has the header ``stamp``. WireError if its time of
    sending is no possible one by this host's clock.
    """
    info = FrameInfo(header=stamp, camera=frame.camera, clock_offset=clock_offset)
    if frame.send_time is not None:
        info.send_stamp = time_message(*_own_times(clock_offset, frame.send_time))
    return info


def image(pixels: NDArray[np.uint8], stamp: Header) -> Image:
    """(H, W, 3) uint8 BGR pixels as a bgr8 image."""
    if CvBridge is not None:
        message = CvBridge().cv2_to_imgmsg(pixels, encoding="bgr8")
        message.header = stamp
        return message
    height, width = pixels.shape[:2]
    return Image(
        header=stamp,
        height=height,
        width=width,
        encoding="bgr8",
        is_bigendian=0,
        step=3 * width,
        data=array("B", pixels.tobytes()),
    )


def rgb_pixels(message: Image) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a raw image.

    The encodings of ``core.raw_picture`` are read here, every other by cv_bridge where it is
    installed. ValueError if the data does not fit the size it says, or the encoding is not read.
    """
    # OpenCV takes time and address space, which nodes without pictures have a better use for.
    from vla_inference_ros.core.raw_picture import ENCODINGS, REMEDY, RawPicture

    if message.encoding not in ENCODINGS and CvBridge is not None:
        try:
            converted: NDArray[np.uint8] = CvBridge().imgmsg_to_cv2(message, "rgb8")
        except TypeError as error:  # CvBridgeError is one; so is what too little data gives
            raise ValueError(
                f"cv_bridge cannot read a raw image of {message.width}x{message.height} "
                f"{message.encoding!r}: {error}. {REMEDY}"
            ) from error
        return converted
    return RawPicture(
        message.encoding,
        message.width,
        message.height,
        message.step,
        memoryview(message.data),
        bool(message.is_bigendian),
    ).rgb()


# --- robot


def robot_state(packet: RobotPacket, clock_offset: float, frame_id: str) -> RobotState:
    """Everything in the packet, in SI units, its times moved by ``clock_offset`` [s] to this host's
    clock. WireError if that gives no possible time.
    """
    origin_time, send_time = _own_times(clock_offset, packet.origin_time, packet.send_time)
    return RobotState(
        header=header(origin_time, frame_id),
        send_stamp=time_message(send_time),
        clock_offset=clock_offset,
        force=packet.force,
        joint_position=np.radians(packet.joints),
        position=np.divide(packet.pose[:3], 1000.0),
        euler_xyz=np.radians(packet.pose[3:]),
    )


def joint_state(state: RobotState, names: list[str]) -> JointState:
    """The joints [rad] under their names."""
    message = JointState(name=names, position=array("d", state.joint_position))
    message.header.stamp = state.header.stamp
    return message


def pose(state: RobotState) -> PoseStamped:
    """The tool's pose [m, quaternion] in the robot's base frame."""
    message = PoseStamped(header=state.header)
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = map(float, state.position)
    quaternion = quaternion_from_euler_xyz(*state.euler_xyz)
    orientation.x, orientation.y, orientation.z, orientation.w = map(float, quaternion)
    return message


# --- sensor


def sensor_batch(datagram: SensorDatagram, clock_offset: float, frame_id: str) -> SensorBatch:
    """One datagram's samples, their times moved by ``clock_offset`` [s] to this host's clock.

    WireError if that gives no possible time.
    """
    times = _own_times(clock_offset, *datagram.times.tolist())
    stamps = [time_message(time) for time in times]
    return SensorBatch(
        header=Header(stamp=stamps[-1], frame_id=frame_id),
        stamps=stamps,
        send_delays=array("d", (datagram.send_times - datagram.times).tobytes()),
        force=array("f", datagram.force.tobytes()),
        ascan_length=datagram.ascan.shape[1],
        ascan=array("f", datagram.ascan.tobytes()),
        clock_offset=clock_offset,
    )


def sensor_arrays(
    batch: SensorBatch,
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """(times (n,) [Unix s], force (n,) [N], A-scans (n, K)) of a batch.

    ValueError if the three lengths do not belong together.
    """
    count, length = len(batch.stamps), batch.ascan_length
    if count == 0 or len(batch.force) != count or len(batch.ascan) != count * length:
        raise ValueError(
            f"sensor batch has {count} stamps, {len(batch.force)} forces and {len(batch.ascan)} "
            f"A-scan values of {length} points: publish as many of each"
        )
    times = np.fromiter((seconds(stamp) for stamp in batch.stamps), np.float64, count)
    force = np.frombuffer(batch.force, np.float32)
    return times, force, np.frombuffer(batch.ascan, np.float32).reshape(count, length)

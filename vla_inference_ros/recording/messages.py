"""What was published, back to what was sent: messages to packets, chunks to JSON objects.

The way out of :mod:`vla_inference_ros.convert`. Every function raises ValueError for a message that
no packet could have given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds, sensor_arrays
from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram, WireError
from vla_inference_ros.msg import ActionChunk, FrameInfo, RobotState, SensorBatch
from vla_inference_ros.recording.traffic import Received


def camera_frame(
    image: CompressedImage, info: FrameInfo | None, view: str, received: float
) -> Received[CameraFrame]:
    """A view's picture; without ``info``, as from another driver than the camera bridge, the camera
    is called as the image's frame, or else as the view, and its clock is this host's.
    """
    jpeg = image.data.tobytes()
    width, height = jpeg_size(jpeg)
    stamp = seconds(image.header.stamp)
    if info is None:
        camera = image.header.frame_id or view
        return Received(CameraFrame(camera, stamp, jpeg, width, height), 0.0, received, view)
    offset, sent = info.clock_offset, seconds(info.send_stamp)
    check_finite("frame info", offset)
    packet = CameraFrame(
        info.camera, stamp - offset, jpeg, width, height, sent - offset if sent else None
    )
    return Received(packet, offset, received, view)


def robot_packet(state: RobotState, received: float) -> Received[RobotPacket]:
    """A robot state, in the wire's units: deg and mm."""
    offset = state.clock_offset
    packet = RobotPacket(
        origin_time=seconds(state.header.stamp) - offset,
        send_time=seconds(state.send_stamp) - offset,
        force=state.force,
        joints=_numbers(np.degrees(state.joint_position)),
        pose=_pose(state),
    )
    check_finite("robot state", offset, packet.force, *packet.joints, *packet.pose)
    return Received(packet, offset, received)


def sensor_datagram(batch: SensorBatch, received: float) -> Received[SensorDatagram]:
    """A batch of samples."""
    times, force, ascan = sensor_arrays(batch)
    delays = np.frombuffer(batch.send_delays, np.float64)
    if len(delays) not in (0, len(times)):
        raise ValueError(f"sensor batch has {len(times)} stamps, but {len(delays)} send delays")
    for values in (batch.clock_offset, delays, force, ascan):
        check_finite("sensor batch", *np.ravel(values)[~np.isfinite(np.ravel(values))][:1])
    times = times - batch.clock_offset
    sent = times + delays if len(delays) else times
    return Received(SensorDatagram(times, sent, force, ascan), batch.clock_offset, received)


def result_of(chunk: ActionChunk) -> dict[str, Any]:
    """An action chunk as the run folder's JSON object: the keys that its readers know, then what
    else tells of its worth and its lineage. Times [Unix s], angles in deg, lengths in mm.
    """
    shape = (chunk.horizon, chunk.action_dim)
    _check_lengths(chunk)
    state = chunk.robot_state
    return {
        "timestamp": seconds(chunk.header.stamp),
        "actions": _rows(chunk.actions, shape),
        "delta": _rows(chunk.delta, shape),
        "inference_time": chunk.inference_time,
        "vl_update_number": chunk.vl_update_id,
        "instruction": chunk.instruction,
        "features_model_id": chunk.features_model_id,
        "robot_state": {
            "joints": _numbers(np.degrees(state.joint_position)),
            "pose": _pose(state),
            "timestamp": seconds(state.header.stamp),
        },
        "chunk_id": chunk.chunk_id,
        "step_dt": chunk.step_dt,
        "action_names": list(chunk.action_names),
        "vl_reuse_index": chunk.vl_reuse_index,
        "vl_reuse_limit": chunk.vl_reuse_limit,
        "validity": "DEGRADED" if chunk.validity == ActionChunk.DEGRADED else "OK",
        "valid_steps": chunk.valid_steps,
        "reasons": list(chunk.reasons),
        "model_id": chunk.model_id,
        "view_timestamps": {
            view: seconds(stamp) for view, stamp in zip(chunk.views, chunk.view_stamps, strict=True)
        },
        "features_timestamp": seconds(chunk.features_stamp),
        "sensor_first_timestamp": seconds(chunk.sensor_first_stamp),
        "sensor_last_timestamp": seconds(chunk.sensor_last_stamp),
        "sensor_samples": chunk.sensor_samples,
        "sensor_missing": chunk.sensor_missing,
        "sensor_mask": list(chunk.sensor_mask),
        "sensor_fill": chunk.sensor_fill,
        "features_age": chunk.features_age,
        "sensor_age": chunk.sensor_age,
        "robot_age": chunk.robot_age,
    }


def _check_lengths(chunk: ActionChunk) -> None:
    """Of the lists that may be empty, as in chunks of older versions."""
    names, rows = len(chunk.action_names), len(chunk.sensor_mask)
    if names not in (0, chunk.action_dim):
        raise ValueError(f"a chunk of {chunk.action_dim} actions a step has {names} action names")
    if rows not in (0, chunk.sensor_samples + chunk.sensor_missing):
        raise ValueError(
            f"a chunk with {chunk.sensor_samples} samples and {chunk.sensor_missing} missing has a "
            f"sensor mask of {rows} rows"
        )


def check_finite(what: str, *values: float) -> None:
    """WireError for a value that is not finite: the wire has none, and so has no run folder."""
    bad = [value for value in values if not math.isfinite(value)]
    if bad:
        raise WireError("not finite", f"{what} has {bad[0]} among its numbers")


def _rows(values: Sequence[float], shape: tuple[int, int]) -> list[list[float]]:
    array: NDArray[np.float32] = np.asarray(values, np.float32).reshape(shape)
    if not array.size and shape[0]:  # any number of empty rows fits no values
        raise ValueError(f"a chunk of shape {shape} has no actions")
    rows: list[list[float]] = array.tolist()
    return rows


def _pose(state: RobotState) -> tuple[float, ...]:
    return (
        *_numbers(np.multiply(state.position, 1000.0)),
        *_numbers(np.degrees(state.euler_xyz)),
    )


def _numbers(values: NDArray[np.float64]) -> tuple[float, ...]:
    """As the wire has them, in single precision."""
    with np.errstate(over="ignore"):  # it is infinite then, which is looked for
        return tuple(values.astype(np.float32).tolist())

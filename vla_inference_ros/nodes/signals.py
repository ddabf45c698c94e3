"""Makes the message of plain numbers that plots show of a chunk, from the chunk and its inputs.

A pure function, no node needed. Plotting tools take a field by its name; an index into an array, or
two stamps to subtract, most of them do not take.
"""

from __future__ import annotations

import math

import numpy as np
from builtin_interfaces.msg import Time

from vla_inference_ros.core.window import WindowSnapshot
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, RobotState, Signals, VLFeatures

_JOINTS = tuple(f"joint_{number}" for number in range(1, 7))
_POSITION = ("position_x", "position_y", "position_z")


def signals_of(chunk: ActionChunk, features: VLFeatures, window: WindowSnapshot) -> Signals:
    """The numbers of a finished chunk that was computed from these features and this window.

    NaN stands for what does not exist: of a robot state that never came, of an empty window, of a
    view that the features are not from.
    """
    robot = chunk.robot_state
    return Signals(
        header=chunk.header,
        chunk_id=chunk.chunk_id,
        validity=chunk.validity,
        valid_steps=chunk.valid_steps,
        vl_update_id=chunk.vl_update_id,
        vl_reuse_index=chunk.vl_reuse_index,
        **_first_step(chunk),
        **_robot(robot),
        **_force(window),
        sensor_samples=chunk.sensor_samples,
        sensor_missing=chunk.sensor_missing,
        action_time=chunk.inference_time,
        vl_time=_between(features.started, features.finished),
        features_age=chunk.features_age,
        sensor_age=chunk.sensor_age if window.samples else math.nan,
        robot_age=chunk.robot_age if _exists(robot.header.stamp) else math.nan,
        **_view_ages(chunk, features),
    )


def _first_step(chunk: ActionChunk) -> dict[str, float]:
    step = chunk.actions[: chunk.action_dim].tolist()
    return {f"action_{name}": value for name, value in zip(chunk.action_names, step, strict=True)}


def _robot(state: RobotState) -> dict[str, float]:
    names = (*_JOINTS, *_POSITION, "robot_force")
    if not _exists(state.header.stamp):
        return dict.fromkeys(names, math.nan)
    numbers = (*state.joint_position.tolist(), *state.position.tolist(), state.force)
    return dict(zip(names, numbers, strict=True))


def _force(window: WindowSnapshot) -> dict[str, float]:
    """Of samples really received: a row that was filled in is no measurement."""
    if not window.samples:
        return dict.fromkeys(("force", "force_min", "force_max"), math.nan)
    force = window.values[window.mask, 0]
    least, most = float(np.min(force)), float(np.max(force))
    return {"force": float(force[-1]), "force_min": least, "force_max": most}


def _view_ages(chunk: ActionChunk, features: VLFeatures) -> dict[str, float]:
    stamps = dict(zip(features.views, features.view_stamps, strict=True))
    nothing = Time()
    return {
        f"{view.lower()}_age": _between(stamps.get(view, nothing), chunk.header.stamp)
        for view in VIEWS
    }


def _exists(stamp: Time) -> bool:
    return bool(stamp.sec or stamp.nanosec)


def _between(start: Time, end: Time) -> float:
    """[s] NaN if either is 0, which stands for none. In integers first: Unix times as floating
    point numbers would cost the last digits.
    """
    if not (_exists(start) and _exists(end)):
        return math.nan
    return float(end.sec - start.sec) + (end.nanosec - start.nanosec) * 1e-9

"""Makes the action chunk's message: the steps, and all that they were computed from."""

from __future__ import annotations

from array import array

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.validity import Inputs, Verdict
from vla_inference_ros.core.window import WindowSnapshot
from vla_inference_ros.model.interface import ACTION_NAMES, ActionSteps
from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.nodes.expert_inputs import Features


def action_chunk(
    steps: ActionSteps,
    features: Features,
    window: WindowSnapshot,
    *,
    inputs: Inputs,
    verdict: Verdict,
    stamp: float,
) -> ActionChunk:
    """The chunk for the instant ``stamp`` [Unix s]; ids, rate, model and robot state are left."""
    horizon, action_dim = steps.actions.shape
    return ActionChunk(
        header=header(stamp),
        horizon=horizon,
        action_dim=action_dim,
        action_names=list(ACTION_NAMES),
        actions=array("f", steps.actions.tobytes()),
        delta=array("f", steps.delta.tobytes()),
        vl_update_id=features.message.update_id,
        vl_reuse_index=inputs.reuse_index,
        vl_reuse_limit=inputs.reuse_limit,
        views=features.message.views,
        view_stamps=features.message.view_stamps,
        features_stamp=features.message.header.stamp,
        sensor_first_stamp=time_message(window.first_time),
        sensor_last_stamp=time_message(window.last_time),
        sensor_samples=window.samples,
        sensor_missing=window.missing,
        sensor_window=len(window.mask),
        sensor_mask=array("B", window.mask.tobytes()),
        sensor_span=window.span,
        sensor_gaps=window.gaps,
        sensor_reordered=window.reordered,
        sensor_duplicates=window.duplicates,
        sensor_late=window.late,
        features_age=_or_none(inputs.features_age),
        sensor_age=_or_none(inputs.sensor_age),
        robot_age=_or_none(inputs.robot_age),
        validity=ActionChunk.DEGRADED if verdict.reasons else ActionChunk.OK,
        valid_steps=verdict.valid_steps,
        reasons=verdict.reasons,
    )


def _or_none(age: float | None) -> float:
    return -1.0 if age is None else age

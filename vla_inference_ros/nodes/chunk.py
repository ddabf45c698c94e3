"""Makes the action chunk's message: all that its steps are computed from, then the steps."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.validity import Inputs, Verdict
from vla_inference_ros.core.window import WindowSnapshot
from vla_inference_ros.model.interface import ACTION_NAMES, ActionSteps
from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.nodes.expert_inputs import Features


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a chunk is to be computed from, and whether it may be; ready before its tick.

    ``chunk`` has all but the steps, the chunk's number and the time that they took; None if there
    are no features or ``verdict`` holds it back.
    """

    stamp: float
    features: Features | None
    window: WindowSnapshot
    inputs: Inputs
    verdict: Verdict
    chunk: ActionChunk | None


def draft_chunk(
    features: Features,
    window: WindowSnapshot,
    *,
    inputs: Inputs,
    verdict: Verdict,
    stamp: float,
) -> ActionChunk:
    """The chunk for the instant ``stamp`` [Unix s], without its steps; ids, rate, model and robot
    state are left, too.
    """
    return ActionChunk(
        header=header(stamp),
        action_names=list(ACTION_NAMES),
        vl_update_id=features.message.update_id,
        instruction=features.message.instruction,
        features_model_id=features.message.model_id,
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


def put_steps(chunk: ActionChunk, steps: ActionSteps) -> None:
    """Complete a draft by what the model has made of it."""
    chunk.horizon, chunk.action_dim = steps.actions.shape
    chunk.actions = array("f", steps.actions.tobytes())
    chunk.delta = array("f", steps.delta.tobytes())


def _or_none(age: float | None) -> float:
    return -1.0 if age is None else age

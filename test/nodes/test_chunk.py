from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.validity import Inputs, Verdict
from vla_inference_ros.core.window import WindowSnapshot
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS, ActionSteps
from vla_inference_ros.msg import ActionChunk, RobotState, VLFeatures
from vla_inference_ros.nodes.chunk import draft_chunk, put_steps
from vla_inference_ros.nodes.expert_inputs import Features

NOW = 1_700_000_000.25
NUMBERS = np.random.default_rng(4).normal(size=(2, 8, 7)).astype(np.float32)
STEPS = ActionSteps(actions=NUMBERS[0], delta=NUMBERS[1])
VIEW_STAMPS = [time_message(NOW - 0.4 - 0.01 * number) for number in range(5)]
FEATURES = Features(
    message=VLFeatures(
        header=header(NOW - 0.44),
        update_id=25,
        views=list(VIEWS),
        view_stamps=VIEW_STAMPS,
        started=time_message(NOW - 0.4),
    ),
    stamp=NOW - 0.44,
    values=np.zeros((1, 1, 64), np.float32),
)
MASK = np.ones(65, np.bool_)
MASK[[0, 30, 31]] = False
WINDOW = WindowSnapshot(
    values=np.zeros((65, 1026), np.float32),
    mask=MASK,
    samples=62,
    missing=3,
    gaps=1,
    first_time=NOW - 0.105,
    last_time=NOW - 0.007,
    nominal_span=64 / 650,
    crowded=0,
    reordered=11,
    duplicates=12,
    late=13,
)
INPUTS = Inputs(
    features_age=0.44,
    reuse_index=3,
    reuse_limit=4,
    sensor_age=0.007,
    sensor_clock_known=True,
    samples=62,
    window=65,
    robot_age=0.02,
)
DEGRADED = Verdict("", ["sensor window not full: 62/65 samples", "late"], 4)


def chunk(inputs: Inputs = INPUTS, verdict: Verdict = DEGRADED) -> ActionChunk:
    """As a subscriber gets it."""
    made = draft_chunk(FEATURES, WINDOW, inputs=inputs, verdict=verdict, stamp=NOW)
    put_steps(made, STEPS)
    return deserialize_message(serialize_message(made), ActionChunk)


def test_the_steps_are_row_by_row() -> None:
    message = chunk()
    assert message.header == header(NOW)
    assert (message.horizon, message.action_dim) == (8, 7)
    assert message.action_names == list(ACTION_NAMES)
    assert len(message.action_names) == message.action_dim
    for found, expected in ((message.actions, STEPS.actions), (message.delta, STEPS.delta)):
        np.testing.assert_array_equal(np.reshape(found, (8, 7)), expected)


def test_the_features_lineage() -> None:
    message = chunk()
    assert (message.vl_update_id, message.vl_reuse_index, message.vl_reuse_limit) == (25, 3, 4)
    assert message.features_stamp == time_message(NOW - 0.44)
    assert message.views == list(VIEWS)
    assert message.view_stamps == VIEW_STAMPS


def test_the_windows_lineage() -> None:
    message = chunk()
    assert message.sensor_first_stamp == time_message(NOW - 0.105)
    assert message.sensor_last_stamp == time_message(NOW - 0.007)
    assert message.sensor_span == pytest.approx(0.098, abs=1e-6)
    assert (message.sensor_samples, message.sensor_missing, message.sensor_window) == (62, 3, 65)
    assert (message.sensor_gaps, message.sensor_reordered) == (1, 11)
    assert (message.sensor_duplicates, message.sensor_late) == (12, 13)


def test_the_mask_has_a_number_for_each_row_oldest_first() -> None:
    mask = chunk().sensor_mask.tolist()
    assert len(mask) == 65
    assert set(mask) == {0, 1}
    assert [row for row, real in enumerate(mask) if not real] == [0, 30, 31]


def test_the_ages() -> None:
    message = chunk()
    assert (message.features_age, message.sensor_age, message.robot_age) == (0.44, 0.007, 0.02)


@pytest.mark.parametrize("age", ["features_age", "sensor_age", "robot_age"])
def test_an_age_of_what_is_not_there_is_negative(age: str) -> None:
    fields: dict[str, Any] = {name: getattr(INPUTS, name) for name in Inputs.__dataclass_fields__}
    assert getattr(chunk(Inputs(**(fields | {age: None}))), age) == -1.0
    assert getattr(chunk(Inputs(**(fields | {age: 0.0}))), age) == 0.0


def test_reservations_make_it_degraded() -> None:
    message = chunk()
    assert (message.validity, message.valid_steps) == (ActionChunk.DEGRADED, 4)
    assert message.reasons == ["sensor window not full: 62/65 samples", "late"]


def test_without_reservations_it_is_ok() -> None:
    message = chunk(verdict=Verdict("", [], 8))
    assert (message.validity, message.valid_steps, message.reasons) == (ActionChunk.OK, 8, [])


def test_what_the_node_knows_is_left_to_it() -> None:
    message = chunk()
    assert (message.chunk_id, message.step_dt, message.inference_time) == (0, 0.0, 0.0)
    assert (message.model_id, message.sensor_fill) == ("", "")
    assert message.robot_state == RobotState()

from __future__ import annotations

import copy
import math
from array import array
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.validity import Inputs, Verdict
from vla_inference_ros.core.window import WindowSnapshot
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS, ActionSteps
from vla_inference_ros.msg import ActionChunk, RobotState, Signals, VLFeatures
from vla_inference_ros.nodes.chunk import draft_chunk, put_steps
from vla_inference_ros.nodes.expert_inputs import Features
from vla_inference_ros.nodes.signals import signals_of

NOW = 1_700_000_000.25
VIEW_AGES = [0.40, 0.41, 0.42, 0.43, 0.44]
JOINTS, POSITION = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6], [0.11, -0.12, 0.13]
ROBOT_FIELDS = (
    *(f"joint_{number}" for number in range(1, 7)),
    *("position_x", "position_y", "position_z", "robot_force", "robot_age"),
)
FORCE_FIELDS = ("force", "force_min", "force_max")
AGE_FIELDS = [f"{view.lower()}_age" for view in VIEWS]
NUMBERS = np.random.default_rng(5).normal(size=(2, 8, 7)).astype(np.float32)
STEPS = ActionSteps(actions=NUMBERS[0], delta=NUMBERS[1])
VERDICT = Verdict("", ["late"], 5)


def features(**fields: Any) -> VLFeatures:
    given = {
        "header": header(NOW - 0.44),
        "update_id": 25,
        "views": list(VIEWS),
        "view_stamps": [time_message(NOW - age) for age in VIEW_AGES],
        "started": time_message(NOW - 0.4),
        "finished": time_message(NOW - 0.019),
    }
    return VLFeatures(**given | fields)


def window(force: dict[int, float]) -> WindowSnapshot:
    """Real samples in these rows only; the others are filled with what nobody measured."""
    values = np.full((65, 1026), 1000.0, np.float32)
    values[::2] *= -1
    mask = np.zeros(65, np.bool_)
    for row, newton in force.items():
        values[row, 0], mask[row] = newton, True
    return WindowSnapshot(
        values=values,
        mask=mask,
        samples=len(force),
        missing=65 - len(force),
        gaps=1,
        first_time=NOW - 0.1 if force else 0.0,
        last_time=NOW - 0.007 if force else 0.0,
        nominal_span=64 / 650,
        crowded=0,
        reordered=0,
        duplicates=0,
        late=0,
    )


FORCE = {0: -0.75, 30: 2.5, 40: 0.25, 64: 1.5}
ROBOT = RobotState(header=header(NOW - 0.02), joint_position=JOINTS, position=POSITION, force=-3.25)


def chunk_of(made_of: VLFeatures, held: WindowSnapshot, robot: RobotState) -> ActionChunk:
    """As the action expert makes it."""
    inputs = Inputs(
        features_age=0.44,
        reuse_index=3,
        reuse_limit=4,
        sensor_age=0.007 if held.samples else None,
        sensor_clock_known=True,
        samples=held.samples,
        window=65,
        robot_age=0.02 if robot.header.stamp.sec else None,
    )
    made = draft_chunk(
        Features(made_of, NOW - 0.44, np.zeros((1, 1, 64), np.float32)),
        held,
        inputs=inputs,
        verdict=VERDICT,
        stamp=NOW,
    )
    made.chunk_id, made.inference_time, made.robot_state = 100, 0.0243, robot
    put_steps(made, STEPS)
    return made


def signals(
    made_of: VLFeatures | None = None,
    held: WindowSnapshot | None = None,
    robot: RobotState = ROBOT,
) -> Signals:
    """As a subscriber gets them."""
    made_of, held = made_of or features(), held or window(FORCE)
    made = signals_of(chunk_of(made_of, held, robot), made_of, held)
    return deserialize_message(serialize_message(made), Signals)


def floats(message: Signals, names: tuple[str, ...] | list[str]) -> list[float]:
    return [getattr(message, name) for name in names]


def nan_fields(message: Signals) -> set[str]:
    kinds = Signals.get_fields_and_field_types()
    return {n for n, kind in kinds.items() if kind == "double" and math.isnan(getattr(message, n))}


def test_it_says_which_chunk_it_is_of() -> None:
    message = signals()
    assert message.header == header(NOW)
    assert (message.chunk_id, message.vl_update_id, message.vl_reuse_index) == (100, 25, 3)
    assert (message.validity, message.valid_steps) == (Signals.DEGRADED, 5)


def test_the_actions_are_step_0s() -> None:
    found = floats(signals(), [f"action_{name}" for name in ACTION_NAMES])
    assert found == STEPS.actions[0].tolist()


def test_the_robot_is_as_the_chunk_has_it() -> None:
    assert floats(signals(), ROBOT_FIELDS) == [*JOINTS, *POSITION, -3.25, 0.02]


def test_the_force_is_of_samples_that_were_received() -> None:
    message = signals()
    assert floats(message, FORCE_FIELDS) == [1.5, -0.75, 2.5]
    assert (message.sensor_samples, message.sensor_missing) == (4, 61)
    assert message.sensor_age == 0.007


def test_one_sample_is_newest_least_and_most() -> None:
    assert floats(signals(held=window({64: -0.5})), FORCE_FIELDS) == [-0.5] * 3


def test_the_times() -> None:
    message = signals()
    assert message.action_time == pytest.approx(0.0243, abs=1e-6)
    assert message.vl_time == pytest.approx(0.381, abs=1e-6)
    assert message.features_age == 0.44


def test_a_views_age_is_found_by_its_name() -> None:
    assert floats(signals(), AGE_FIELDS) == pytest.approx(VIEW_AGES, abs=1e-6)
    order = [4, 0, 2, 1, 3]
    mixed = features(
        views=[VIEWS[number] for number in order],
        view_stamps=[time_message(NOW - VIEW_AGES[number]) for number in order],
    )
    assert floats(signals(mixed), AGE_FIELDS) == pytest.approx(VIEW_AGES, abs=1e-6)


def test_a_picture_from_after_the_stamp_has_a_negative_age() -> None:
    later = features(views=["View2"], view_stamps=[time_message(NOW + 0.5)])
    assert signals(later).view2_age == pytest.approx(-0.5, abs=1e-6)


def test_nothing_is_nan_where_all_is_there() -> None:
    assert nan_fields(signals()) == set()


def test_all_of_a_robot_that_never_came_is_nan() -> None:
    assert nan_fields(signals(robot=RobotState())) == set(ROBOT_FIELDS)


def test_a_robot_at_zero_is_zero() -> None:
    message = signals(robot=RobotState(header=header(NOW - 0.02)))
    assert floats(message, ROBOT_FIELDS) == [0.0] * 10 + [0.02]


def test_all_of_an_empty_window_is_nan() -> None:
    assert nan_fields(signals(held=window({}))) == {*FORCE_FIELDS, "sensor_age"}


def test_views_that_are_not_in_the_features_are_nan() -> None:
    some = features(
        views=["View4", "Wrist"], view_stamps=[time_message(NOW - age) for age in (0.3, 0.2)]
    )
    message = signals(some)
    assert nan_fields(message) == {*AGE_FIELDS} - {"view4_age"}
    assert message.view4_age == pytest.approx(0.3, abs=1e-6)


@pytest.mark.parametrize("end", ["started", "finished"])
def test_the_time_of_an_update_that_has_no_such_stamp_is_nan(end: str) -> None:
    assert nan_fields(signals(features(**{end: time_message(0.0)}))) == {"vl_time"}


def test_the_chunk_stays_as_it_is() -> None:
    made_of, held = features(), window(FORCE)
    made = chunk_of(made_of, held, ROBOT)
    before, values = copy.deepcopy(made), held.values.copy()
    signals_of(made, made_of, held)
    assert made == before  # not byte for byte: the padding of a serialised message is arbitrary
    np.testing.assert_array_equal(held.values, values)
    assert isinstance(made.actions, array)

"""What a chunk predicts, and the messages and markers that show it; no node, no graph."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from visualization_msgs.msg import Marker, MarkerArray

from vla_inference_ros.convert import header, quaternion_from_euler_xyz, seconds, time_message
from vla_inference_ros.core.validity import AgeBudget
from vla_inference_ros.msg import ActionChunk, RobotState
from vla_inference_ros.nodes.chunk_steps import ChunkError
from vla_inference_ros.nodes.predicted import (
    ANGLES,
    JOINTS,
    LENGTHS,
    POSE,
    Meaning,
    path,
    predict,
    trajectory,
)
from vla_inference_ros.nodes.predicted_markers import GREY, NOT_VALID, Look, age_color, markers

NOW = 1_700_000_000.25  # [Unix s]
STEPS = np.random.default_rng(7).normal(size=(8, 7)).astype(np.float32)
NAMES = [f"joint_{number}" for number in range(1, 7)]
ROBOT = RobotState(
    header=header(NOW - 0.01, "base_link"),
    joint_position=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    position=[1.0, 2.0, 3.0],
    euler_xyz=[0.7, 0.8, 0.9],
)
LOOK = Look("base_link", 0.002, AgeBudget(1.0, 2.0))
GREEN, YELLOW, RED = (0.0, 1.0, 0.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def chunk(**fields: Any) -> ActionChunk:
    """As a subscriber gets it."""
    given = {
        "header": header(NOW),
        "chunk_id": 12,
        "step_dt": 0.1,
        "horizon": 8,
        "action_dim": 7,
        "actions": array("f", STEPS.tobytes()),
        "valid_steps": 8,
        "features_age": 0.5,
    } | fields
    return deserialize_message(serialize_message(ActionChunk(**given)), ActionChunk)


# --- what the numbers mean


def test_joints_in_rad_are_taken_as_they_are() -> None:
    prediction = predict(chunk(), Meaning(JOINTS))
    np.testing.assert_array_equal(prediction.arm, STEPS[:, :6])
    np.testing.assert_array_equal(prediction.gripper, STEPS[:, 6])
    assert prediction.arm.dtype == np.float64


def test_degrees_become_rad_but_the_gripper_stays() -> None:
    prediction = predict(chunk(), Meaning(JOINTS, angle=ANGLES["deg"], length=LENGTHS["mm"]))
    np.testing.assert_allclose(prediction.arm, np.radians(STEPS[:, :6].astype(np.float64)))
    np.testing.assert_array_equal(prediction.gripper, STEPS[:, 6])


def test_of_a_pose_mm_and_degrees_become_m_and_rad() -> None:
    prediction = predict(chunk(), Meaning(POSE, angle=ANGLES["deg"], length=LENGTHS["mm"]))
    steps = STEPS.astype(np.float64)
    np.testing.assert_allclose(prediction.arm[:, :3], steps[:, :3] / 1000)
    np.testing.assert_allclose(prediction.arm[:, 3:], np.radians(steps[:, 3:6]))


@pytest.mark.parametrize(
    ("space", "robot"),
    [(JOINTS, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), (POSE, [1.0, 2.0, 3.0, 0.7, 0.8, 0.9])],
)
def test_what_is_relative_is_added_to_the_robots_state(space: str, robot: list[float]) -> None:
    meaning = Meaning(space, angle=ANGLES["deg"], length=LENGTHS["mm"])
    absolute = predict(chunk(robot_state=ROBOT), meaning)
    relative = predict(chunk(robot_state=ROBOT), replace(meaning, is_relative=True))
    np.testing.assert_allclose(relative.arm, absolute.arm + robot)
    np.testing.assert_array_equal(relative.gripper, absolute.gripper)


def test_what_is_relative_to_no_robot_state_is_refused() -> None:
    with pytest.raises(ChunkError, match=r"chunk 12 is relative .*robot_bridge") as caught:
        predict(chunk(), Meaning(JOINTS, is_relative=True))
    assert caught.value.kind == "no robot state"
    assert predict(chunk(), Meaning(JOINTS)).valid_steps == 8  # where it is not needed


# --- what is refused


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"horizon": 7}, "wrong shape"),
        ({"horizon": 0, "actions": array("f")}, "wrong shape"),
        ({"horizon": 7, "action_dim": 8}, "wrong shape"),
        ({"actions": array("f", [0.0] * 55)}, "wrong shape"),
        ({"step_dt": 0.0}, "bad times"),
        ({"step_dt": math.nan}, "bad times"),
        ({"step_dt": 1e9}, "bad times"),
        ({"header": header(-5.0)}, "bad times"),
        ({"actions": array("f", [math.nan] * 56)}, "not finite"),
        ({"actions": array("f", [0.0] * 55 + [math.inf])}, "not finite"),
    ],
)
def test_a_chunk_that_cannot_be_shown_is_refused(fields: dict[str, Any], kind: str) -> None:
    with pytest.raises(ChunkError, match="action chunk 12 ") as caught:
        predict(chunk(**fields), Meaning(JOINTS))
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    ("space", "field"), [(JOINTS, "joint_position"), (POSE, "position"), (POSE, "euler_xyz")]
)
def test_a_robot_state_that_is_not_finite_is_refused(space: str, field: str) -> None:
    state = RobotState(header=header(NOW))
    getattr(state, field)[1] = math.nan
    with pytest.raises(ChunkError, match="robot state with NaN") as caught:
        predict(chunk(robot_state=state), Meaning(space, is_relative=True))
    assert caught.value.kind == "not finite"


# --- the standard messages


def test_a_path_has_each_steps_pose_and_time() -> None:
    message = path(predict(chunk(), Meaning(POSE)), "world")
    assert (message.header.stamp, message.header.frame_id) == (time_message(NOW), "world")
    assert len(message.poses) == 8
    for index, posed in enumerate(message.poses):
        assert posed.header.frame_id == "world"
        assert seconds(posed.header.stamp) == pytest.approx(NOW + 0.1 * index, abs=1e-6)
        position, turned = posed.pose.position, posed.pose.orientation
        x, y, z, *euler = STEPS[index, :6].tolist()
        assert [position.x, position.y, position.z] == [x, y, z]
        found = [turned.x, turned.y, turned.z, turned.w]
        np.testing.assert_allclose(found, quaternion_from_euler_xyz(*euler))
    assert message.poses[0].header.stamp == time_message(NOW)


def test_step_times_are_exact_to_the_nanosecond() -> None:
    message = path(predict(chunk(header=header(1.0), step_dt=0.7), Meaning(POSE)), "world")
    stamps = [posed.header.stamp for posed in message.poses]
    assert [s.sec * 10**9 + s.nanosec for s in stamps] == [
        1_000_000_000 + 700_000_000 * index for index in range(8)
    ]


def test_a_trajectory_has_the_joints_and_the_gripper_if_it_has_a_name() -> None:
    prediction = predict(chunk(), Meaning(JOINTS))
    for gripper, width in (("", 6), ("finger", 7)):
        message = trajectory(prediction, NAMES, gripper)
        assert message.header.stamp == time_message(NOW)
        assert message.joint_names == [*NAMES, "finger"][:width]
        for index, point in enumerate(message.points):
            assert list(point.positions) == STEPS[index, :width].astype(float).tolist()
            passed = point.time_from_start
            assert passed.sec * 10**9 + passed.nanosec == index * 100_000_000
        assert len(message.points) == 8


# --- the markers


@pytest.mark.parametrize(
    ("age", "color"),
    [
        (0.0, GREEN),
        (0.5, (0.5, 1.0, 0.0)),
        (1.0, YELLOW),
        (1.5, (1.0, 0.5, 0.0)),
        (2.0, RED),
        (99.0, RED),
        (-0.5, GREEN),
        (-1.5, RED),
        (math.nan, RED),
    ],
)
def test_the_features_age_has_its_color(age: float, color: tuple[float, float, float]) -> None:
    assert age_color(age, AgeBudget(1.0, 2.0)) == pytest.approx(color)


def test_between_equal_limits_there_is_no_yellow() -> None:
    assert age_color(0.999999, AgeBudget(1.0, 1.0)) == pytest.approx(YELLOW, abs=1e-5)
    assert age_color(1.0, AgeBudget(1.0, 1.0)) == RED


def drawn(array: MarkerArray) -> dict[tuple[str, int], Marker]:
    found = {(marker.ns, marker.type): marker for marker in array.markers}
    assert len({(marker.ns, marker.id) for marker in array.markers}) == len(array.markers)
    return found


def test_a_line_and_spheres_go_through_the_steps() -> None:
    prediction = predict(chunk(), Meaning(POSE))
    found = drawn(markers(prediction, None, LOOK))
    assert set(found) == {("predicted", Marker.LINE_STRIP), ("predicted", Marker.SPHERE_LIST)}
    for marker in found.values():
        assert (marker.header.stamp, marker.header.frame_id) == (time_message(NOW), "base_link")
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 800_000_000)
        assert marker.pose.orientation.w == 1.0
        points = [[point.x, point.y, point.z] for point in marker.points]
        np.testing.assert_array_equal(points, STEPS[:, :3])
    line = found["predicted", Marker.LINE_STRIP]
    assert (line.scale.x, line.scale.y, line.scale.z) == (0.001, 0.0, 0.0)
    spheres = found["predicted", Marker.SPHERE_LIST]
    assert (spheres.scale.x, spheres.scale.y, spheres.scale.z) == (0.002, 0.002, 0.002)


def test_each_step_has_the_color_of_its_own_time_and_is_faint_when_not_valid() -> None:
    prediction = predict(chunk(features_age=0.7, valid_steps=4), Meaning(POSE))
    for marker in markers(prediction, None, LOOK).markers:
        assert [color.a for color in marker.colors] == [1.0] * 4 + [NOT_VALID] * 4
        for index, color in enumerate(marker.colors):
            expected = age_color(0.7 + 0.1 * index, LOOK.features)
            assert (color.r, color.g, color.b) == pytest.approx(expected)
        assert marker.colors[0].g > marker.colors[-1].g


def test_the_superseded_chunk_is_grey() -> None:
    before = predict(chunk(actions=array("f", [0.5] * 56)), Meaning(POSE))
    found = drawn(markers(predict(chunk(), Meaning(POSE)), before, LOOK))
    assert len(found) == 4
    for kind in (Marker.LINE_STRIP, Marker.SPHERE_LIST):
        marker = found["superseded", kind]
        assert marker.colors == [GREY] * 8
        assert {(point.x, point.y, point.z) for point in marker.points} == {(0.5, 0.5, 0.5)}
        assert marker.lifetime.nanosec == 800_000_000


def test_markers_of_short_chunks_can_be_seen_and_one_step_has_no_line() -> None:
    only = chunk(horizon=1, actions=array("f", STEPS[:1].tobytes()), step_dt=0.001)
    (marker,) = markers(predict(only, Meaning(POSE)), None, LOOK).markers
    assert marker.type == Marker.SPHERE_LIST
    assert marker.lifetime.nanosec == 500_000_000


@pytest.mark.parametrize(
    ("later", "expected"), [(0.1, True), (0.7, True), (0.85, False), (0.0, False), (-0.1, False)]
)
def test_only_what_is_not_over_is_superseded(later: float, expected: bool) -> None:
    before = predict(chunk(), Meaning(POSE))
    after = predict(chunk(header=header(NOW + later)), Meaning(POSE))
    assert after.supersedes(before) is expected

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from harness import Listener, NodeProcess, failed_start, problems, running
from nav_msgs.msg import Path
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.msg import ActionChunk, RobotState
from vla_inference_ros.nodes import chunk_viewer
from vla_inference_ros.nodes.predicted import path
from vla_inference_ros.nodes.predicted_markers import markers

NOW = 1.7e9  # [Unix s]
STEPS = np.random.default_rng(3).normal(size=(8, 7)).astype(np.float32)
TRAJECTORY, PATH, MARKERS = (f"/vla/predicted_{what}" for what in ("trajectory", "path", "markers"))


def chunk(chunk_id: int, stamp: float = NOW, **fields: Any) -> ActionChunk:
    given = {"horizon": 8, "robot_state": RobotState(header=header(stamp))} | fields
    return ActionChunk(
        header=header(stamp),
        chunk_id=chunk_id,
        step_dt=0.1,
        action_dim=7,
        actions=array("f", STEPS.tobytes()),
        features_age=0.5,
        valid_steps=8,
        **given,
    )


def accepted(viewer: chunk_viewer.ChunkViewer) -> int:
    """The chunks that a viewer has taken."""
    (stream,) = viewer._streams
    return stream.tally.read().accepted


def heard(listener: Listener, kind: type, topic: str, chunk_id: int) -> Any:
    """What the viewer makes of a chunk that is sent until it does, always as its newest one."""
    messages = listener.listen(kind, topic)
    stamp = NOW + chunk_id
    listener.publisher(ActionChunk, "/vla/actions")

    def arrived() -> list[Any]:
        stamps = [
            m.markers[0].header.stamp if kind is MarkerArray else m.header.stamp for m in messages
        ]
        return [m for m, at in zip(messages, stamps, strict=True) if at == time_message(stamp)]

    listener.spin_until(
        arrived, repeat=lambda: listener.deliver(chunk(chunk_id, stamp), "/vla/actions")
    )
    return arrived()[0]


def test_joints_become_a_trajectory(listener: Listener) -> None:
    parameters: dict[str, Any] = {"angle_unit": "deg", "gripper_name": "finger"}
    with running("chunk_viewer", **parameters) as node:
        node.wait_until_said(f"actions are taken for joints, shown on {TRAJECTORY}")
        message = heard(listener, JointTrajectory, TRAJECTORY, 1)
        assert message.joint_names == [*(f"joint_{n}" for n in range(1, 7)), "finger"]
        expected = STEPS.astype(float)
        expected[:, :6] = np.radians(expected[:, :6])
        np.testing.assert_allclose([list(point.positions) for point in message.points], expected)
        listener.spin_until(lambda: listener.publishers_of(TRAJECTORY) == {"chunk_viewer"})
        assert listener.publishers_of(PATH) | listener.publishers_of(MARKERS) == set()


def test_only_what_somebody_listens_to_is_made(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def noted(make: Callable[..., Any]) -> Callable[..., Any]:
        def making(*arguments: Any) -> Any:
            made.append(make.__name__)
            return make(*arguments)

        return making

    monkeypatch.setattr(f"{chunk_viewer.__name__}.path", noted(path))
    monkeypatch.setattr(f"{chunk_viewer.__name__}.markers", noted(markers))
    pose = Parameter("action_space", value="pose")
    viewer = chunk_viewer.ChunkViewer(parameter_overrides=[pose])
    executor = SingleThreadedExecutor()
    executor.add_node(viewer)

    def seen(count: int) -> None:
        before = accepted(viewer)
        for number in range(count):
            listener.deliver(chunk(number + 1), "/vla/actions")
        listener.spin_until(
            lambda: accepted(viewer) == before + count,
            repeat=lambda: executor.spin_once(timeout_sec=0),
        )

    try:
        seen(3)
        assert made == []
        listener.listen(Path, PATH)
        listener.spin_until(lambda: made, repeat=lambda: seen(1))
        seen(3)
        assert set(made) == {"path"}
    finally:
        executor.shutdown()
        viewer.close()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"action_space": "cartesian"}, "parameter 'action_space' is 'cartesian', not one of"),
        ({"joint_names": ["a", "b"]}, "parameter 'joint_names' has 2 names, not 6"),
        ({"gripper_name": "joint_1"}, "each name must be another"),
        ({"frame_id": ""}, "parameter 'frame_id' is empty"),
        ({"features_age_soft": 3.0}, "'features_age_soft' is 3.0, more than 'features_age_hard'"),
    ],
)
def test_parameters_that_cannot_be_used_are_named(
    parameters: dict[str, Any], complaint: str
) -> None:
    assert complaint in failed_start("chunk_viewer", **parameters)


# These share a node, whose chunks are poses relative to the robot's.


@pytest.fixture(scope="module")
def node(listener: Listener) -> Iterator[NodeProcess]:
    listener.wait_until_alone()
    parameters: dict[str, Any] = {"action_space": "pose", "delta": True, "length_unit": "mm"}
    with running("chunk_viewer", frame_id="world", **parameters) as node:
        yield node


def test_poses_become_a_path_from_where_the_robot_was(
    node: NodeProcess, listener: Listener
) -> None:
    paths = listener.listen(Path, PATH)
    state = RobotState(header=header(NOW), position=[0.1, 0.2, 0.3], euler_xyz=[0.0, 0.0, 0.0])
    listener.spin_until(
        lambda: paths,
        repeat=lambda: listener.deliver(chunk(1, robot_state=state), "/vla/actions"),
    )
    assert paths[0].header.frame_id == "world"
    found = [[p.pose.position.x, p.pose.position.y, p.pose.position.z] for p in paths[0].poses]
    expected = STEPS[:, :3].astype(float) / 1000 + [0.1, 0.2, 0.3]
    np.testing.assert_allclose(found, expected)


def test_the_chunk_before_is_shown_as_superseded_if_it_is_not_over(
    node: NodeProcess, listener: Listener
) -> None:
    heard(listener, MarkerArray, MARKERS, 10)
    arrays = listener.listen(MarkerArray, MARKERS)
    for chunk_id, stamp in ((11, NOW + 100.0), (12, NOW + 100.1), (13, NOW + 101.0)):
        listener.deliver(chunk(chunk_id, stamp), "/vla/actions")
    last = time_message(NOW + 101.0)
    listener.spin_until(lambda: arrays and arrays[-1].markers[0].header.stamp == last)
    names = [{marker.ns for marker in array.markers} for array in arrays[-3:]]
    assert names == [{"predicted"}, {"predicted", "superseded"}, {"predicted"}]


def test_bad_chunks_are_counted_and_warned_of_at_a_limited_rate(
    node: NodeProcess, listener: Listener
) -> None:
    heard(listener, MarkerArray, MARKERS, 20)
    arrays = listener.listen(MarkerArray, MARKERS)
    for _ in range(3):
        listener.deliver(chunk(21, horizon=7), "/vla/actions")
        listener.deliver(chunk(22, robot_state=RobotState()), "/vla/actions")
    listener.deliver(chunk(23, NOW + 23), "/vla/actions")
    counts = {"wrong shape": 3, "no robot state": 3}
    report = listener.report("chunk_viewer", "predicted", lambda each: problems(each) == counts)
    assert report.rejected == 6
    made, last = time_message(NOW + 20), time_message(NOW + 23)
    listener.spin_until(lambda: arrays and arrays[-1].markers[0].header.stamp == last)
    stamps = [array.markers[0].header.stamp for array in arrays]
    assert [stamp for stamp in stamps if stamp != made] == [last]  # copies of 20 may still come
    assert len(node.said("has 56 numbers for 7 steps of 7")) == 1
    assert len(node.said("is relative to a robot state that it has not")) == 1

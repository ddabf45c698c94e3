"""Chunk viewer node: the predicted steps as what rviz and Foxglove can show.

Makes only what somebody listens to. All steps are shown, also those that may not be executed: what
it publishes is to be looked at, not to be driven.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import Path
from rclpy.publisher import Publisher
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.age_limits import age_budget, age_limit
from vla_inference_ros.nodes.chunk_steps import ChunkError
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.predicted import (
    ANGLES,
    AXES,
    JOINTS,
    LENGTHS,
    SPACES,
    Meaning,
    Prediction,
    path,
    predict,
    trajectory,
)
from vla_inference_ros.nodes.predicted_markers import Look, markers
from vla_inference_ros.nodes.vla_node import VlaNode, run

_NICE = 10  # all that runs for its purpose goes first


@dataclass(frozen=True, slots=True)
class ChunkViewerConfig:
    """Parameters of the chunk viewer."""

    action_space: str = parameter(
        JOINTS,
        "what an action's first six numbers are: the joints' angles, or the tool's x, y, z and "
        "mobile XYZ Euler angles",
        choices=SPACES,
    )
    delta: bool = parameter(
        False,
        "an action's first six numbers are relative to the chunk's robot state, and are added to "
        "it; the gripper's is taken as it is",
    )
    angle_unit: str = parameter("rad", "unit of the actions' angles", choices=tuple(ANGLES))
    length_unit: str = parameter("m", "unit of the actions' lengths", choices=tuple(LENGTHS))
    frame_id: str = parameter("base_link", "frame of the poses, as robot_bridge's base_frame")
    joint_names: list[str] = parameter(
        list(ACTION_NAMES[:AXES]), "names in the trajectory, as robot_bridge's joint_names; six"
    )
    gripper_name: str = parameter(
        "", "name of the gripper in the trajectory, in the actions' own unit; '' leaves it out"
    )
    features_age_soft: float = age_limit(
        1.0, "age of the features' oldest image at which a step is yellow; at 0 it is green"
    )
    features_age_hard: float = age_limit(2.0, "likewise, from which on it is red")
    marker_size: float = parameter(
        0.002, "diameter of a step's sphere [m]", minimum=0.0001, maximum=1.0
    )


class ChunkViewer(VlaNode[ChunkViewerConfig]):
    """Publishes ``/vla/predicted_path`` and ``/vla/predicted_markers`` for actions that are poses,
    ``/vla/predicted_trajectory`` for joints.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("chunk_viewer", ChunkViewerConfig, **node_arguments)
        config = self.config
        _check_names(config)
        self._meaning = Meaning(
            config.action_space,
            config.delta,
            ANGLES[config.angle_unit],
            LENGTHS[config.length_unit],
        )
        self._look = Look(config.frame_id, config.marker_size, age_budget(config, "features"))
        self._chunks = self.add_stream("predicted")
        self._newest: Prediction | None = None
        self._superseded: Prediction | None = None
        self._outlets: list[tuple[Publisher, Callable[[Prediction], Any]]]
        if config.action_space == JOINTS:
            trajectories = self.create_publisher(
                JointTrajectory, "/vla/predicted_trajectory", qos.ACTIONS
            )
            self._outlets = [(trajectories, self._trajectory)]
        else:
            paths = self.create_publisher(Path, "/vla/predicted_path", qos.ACTIONS)
            arrays = self.create_publisher(MarkerArray, "/vla/predicted_markers", qos.ACTIONS)
            self._outlets = [(paths, self._path), (arrays, self._markers)]
        self.create_subscription(ActionChunk, "/vla/actions", self._see_chunk, qos.ACTIONS)
        topics = ", ".join(publisher.topic_name for publisher, _ in self._outlets)
        self.get_logger().info(f"actions are taken for {config.action_space}, shown on {topics}")

    def _see_chunk(self, chunk: ActionChunk) -> None:
        try:
            prediction = predict(chunk, self._meaning)
        except ChunkError as error:
            self._chunks.problem(error.kind, str(error))
            return
        self._chunks.accept(seconds(prediction.stamp))
        before, self._newest = self._newest, prediction
        self._superseded = before if before and prediction.supersedes(before) else None
        for publisher, make in self._outlets:
            if publisher.get_subscription_count():
                publisher.publish(make(prediction))

    def _trajectory(self, prediction: Prediction) -> JointTrajectory:
        return trajectory(prediction, self.config.joint_names, self.config.gripper_name)

    def _path(self, prediction: Prediction) -> Path:
        return path(prediction, self.config.frame_id)

    def _markers(self, prediction: Prediction) -> MarkerArray:
        return markers(prediction, self._superseded, self._look)


def _check_names(config: ChunkViewerConfig) -> None:
    if len(config.joint_names) != AXES:
        raise ParameterError(
            f"parameter 'joint_names' has {len(config.joint_names)} names, not {AXES}"
        )
    names = [*config.joint_names, config.gripper_name]
    if len(set(names)) < len(names):
        raise ParameterError(
            f"parameters 'joint_names' and 'gripper_name' are {', '.join(names)}: each name must "
            "be another, and no joint's empty"
        )
    if not config.frame_id:
        raise ParameterError("parameter 'frame_id' is empty: name the frame of the robot's base")


def main() -> int:
    """Run the node."""
    os.nice(_NICE)
    return run(ChunkViewer)

"""Robot bridge: ZMQ robot packets in; joint states, pose and full state out, in SI units."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import zmq
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from vla_inference_ros import convert
from vla_inference_ros.core.wire import ROBOT_PORT, ROBOT_TOPIC, RobotPacket, WireError
from vla_inference_ros.msg import RobotState
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.nodes.zmq_socket import connect, messages

JOINTS = 6


@dataclass(frozen=True, slots=True)
class RobotBridgeConfig:
    """Parameters of the robot bridge."""

    host: str = parameter("127.0.0.1", "host of the robot sender (the rig's is 10.130.41.111)")
    port: int = parameter(
        ROBOT_PORT, "TCP port of the robot sender's ZMQ PUB socket", minimum=1, maximum=65535
    )
    joint_names: list[str] = parameter(
        [f"joint_{index}" for index in range(1, JOINTS + 1)],
        "names in /joint_states, as in the robot's URDF; six",
    )
    base_frame: str = parameter("base_link", "frame of the robot's pose")


class RobotBridge(VlaNode[RobotBridgeConfig]):
    """Publishes ``/joint_states``, ``/robot/pose`` and ``/robot/state``."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("robot_bridge", RobotBridgeConfig, **node_arguments)
        if len(self.config.joint_names) != JOINTS:
            raise ParameterError(
                f"parameter 'joint_names' has {len(self.config.joint_names)} names, not {JOINTS}"
            )
        self._robot = self.add_stream("robot")
        self._joints = self.create_publisher(JointState, "/joint_states", qos.ROBOT)
        self._pose = self.create_publisher(PoseStamped, "/robot/pose", qos.ROBOT)
        self._state = self.create_publisher(RobotState, "/robot/state", qos.ROBOT)
        self._zmq = zmq.Context()
        self._socket = self._zmq.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, ROBOT_TOPIC)
        connect(self._socket, self.config.host, self.config.port)
        self.add_worker("robot socket", self._receive)
        self.get_logger().info(f"listening to {self.config.host}:{self.config.port}")

    def release(self) -> None:
        """Close the connection."""
        self._zmq.destroy(linger=0)

    def _receive(self, stopping: threading.Event) -> None:
        """Socket thread: the only one that touches the socket."""
        for parts in messages(self._socket, stopping):
            try:
                self._publish(RobotPacket.unpack(parts))
            except WireError as error:
                self._robot.problem(error.kind, str(error))

    def _publish(self, packet: RobotPacket) -> None:
        state = convert.robot_state(packet, self.config.base_frame)
        self._state.publish(state)
        self._joints.publish(convert.joint_state(state, self.config.joint_names))
        self._pose.publish(convert.pose(state))
        self._robot.accept(packet.origin_time)


def main() -> int:
    """Run the node."""
    return run(RobotBridge)

"""Robot bridge: ZMQ robot packets in; joint states, pose and full state out, in SI units."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import zmq
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import JointState

from vla_inference_ros import convert
from vla_inference_ros.core.address import with_port
from vla_inference_ros.core.clock import CLOCK_MODES
from vla_inference_ros.core.limits import (
    JOINT_MAXIMA,
    JOINT_MINIMA,
    MOST_FORCE,
    MOST_POSITION,
    ZEROS,
    RobotLimits,
    oddity,
)
from vla_inference_ros.core.wire import ROBOT_PORT, ROBOT_TOPIC, RobotPacket
from vla_inference_ros.msg import RobotState
from vla_inference_ros.nodes import curve_parameters, qos
from vla_inference_ros.nodes.debug_lines import PACKET_PERIOD, packet_line
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.sender_stamps import CLOCK_MODE, LONG_WAY, SenderStamps
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

JOINTS = 6
_MAX_BYTES = 65536  # of a message's part; a robot packet has 68


@dataclass(frozen=True, slots=True)
class RobotBridgeConfig(ThreadConfig):
    """Parameters of the robot bridge."""

    host: str = parameter(
        "127.0.0.1", "host of the robot sender (the rig's is 10.130.41.111); IPv6 too, such as ::1"
    )
    port: int = parameter(
        ROBOT_PORT, "TCP port of the robot sender's ZMQ PUB socket", minimum=1, maximum=65535
    )
    curve_certificate: str = parameter("", curve_parameters.CERTIFICATE)
    curve_server: str = parameter("", curve_parameters.SERVER)
    joint_names: list[str] = parameter(
        [f"joint_{index}" for index in range(1, JOINTS + 1)],
        "names in /joint_states, as in the robot's URDF; six",
    )
    clock_mode: str = parameter("calibrate", CLOCK_MODE, choices=CLOCK_MODES)
    base_frame: str = parameter("base_link", "frame of the robot's pose")
    joint_minima: list[float] = parameter(
        list(JOINT_MINIMA),
        "a packet with a joint under these is refused as nonsense; six, the defaults for a Meca500 "
        "[deg]",
    )
    joint_maxima: list[float] = parameter(
        list(JOINT_MAXIMA), "a packet with a joint over these is refused as nonsense; six [deg]"
    )
    position_limit: float = parameter(
        MOST_POSITION,
        "a packet whose x, y or z is larger, either way, is refused as nonsense [mm]",
        minimum=1.0,
        maximum=1e6,
    )
    force_limit: float = parameter(
        MOST_FORCE,
        "a packet whose force is larger, either way, is refused as nonsense [N]",
        minimum=0.001,
        maximum=1e9,
    )


class RobotBridge(VlaNode[RobotBridgeConfig]):
    """Publishes ``/joint_states``, ``/robot/pose`` and ``/robot/state``."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("robot_bridge", RobotBridgeConfig, **node_arguments)
        RunStateKeeper(self)  # for the nodes that infer: any of those may die or hang
        if len(self.config.joint_names) != JOINTS:
            raise ParameterError(
                f"parameter 'joint_names' has {len(self.config.joint_names)} names, not {JOINTS}"
            )
        self._limits = _limits(self.config)
        self._robot = self.add_stream("robot")
        self._stamps = SenderStamps(self._robot, self.config.clock_mode, "the robot's host")
        self._note_wire = self._robot.timer("wire to topic", LONG_WAY)
        self._debug = DebugRecords(self, PACKET_PERIOD)
        self._joints = self.create_publisher(JointState, "/joint_states", qos.ROBOT)
        self._pose = self.create_publisher(PoseStamped, "/robot/pose", qos.ROBOT)
        self._state = self.create_publisher(RobotState, "/robot/state", qos.ROBOT)
        keys = curve_parameters.client_keys(
            self, self.config.curve_certificate, self.config.curve_server
        )
        self._socket = ZmqReceiver(
            zmq.SUB, self._robot, _MAX_BYTES, "is 'host' the robot's, and 'port'?"
        )
        self._socket.subscribe(ROBOT_TOPIC)
        self._socket.connect(self.config.host, self.config.port, keys)
        self.add_worker("robot socket", self._receive)
        self.get_logger().info(f"listening to {with_port(self.config.host, self.config.port)}")

    def release(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self, stopping: threading.Event) -> None:
        """Socket thread: the only one that touches the socket."""
        for parts in self._socket.messages(stopping):
            received = time.time()
            try:
                packet = RobotPacket.unpack(parts)
                self._limits.check(packet)
                self._publish(packet, received)
            except Exception as error:  # of this message; the next ones are read
                self._robot.refuse(error)
            self.look()

    def _publish(self, packet: RobotPacket, received: float) -> None:
        offset, clock = self._stamps.observe(packet.origin_time, packet.send_time, received)
        self._stamps.check()
        state = convert.robot_state(packet, offset, self.config.base_frame)
        state.clock_uncertainty, state.source_id = clock.uncertainty, self.source_id
        self._state.publish(state)
        # To make these two takes as long as all the rest, and often nobody listens.
        if self._joints.get_subscription_count():
            self._joints.publish(convert.joint_state(state, self.config.joint_names))
        if self._pose.get_subscription_count():
            self._pose.publish(convert.pose(state))
        self._robot.accept(packet.origin_time + offset)
        if odd := oddity(packet):
            self._robot.note(ZEROS, odd)
        handling = time.time() - received
        self._note_wire(handling)
        self._debug.say(
            lambda: packet_line(
                "robot",
                "a packet",
                newest_time=packet.origin_time,
                send_time=packet.send_time,
                receive_time=received,
                offset=offset,
                clock=clock,
                handling=handling,
            )
        )


def _limits(config: RobotBridgeConfig) -> RobotLimits:
    try:
        return RobotLimits(
            config.joint_minima, config.joint_maxima, config.position_limit, config.force_limit
        )
    except ValueError as error:
        raise ParameterError(f"parameters 'joint_minima' and 'joint_maxima': {error}") from error


def main() -> int:
    """Run the node."""
    return run(RobotBridge)

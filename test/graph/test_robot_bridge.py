from __future__ import annotations

import itertools
import math
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import zmq
from geometry_msgs.msg import PoseStamped
from harness import Listener, NodeProcess, failed_start, free_port, problems, running
from sensor_msgs.msg import JointState

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.troubles import MISSING, REPEATED, SILENT
from vla_inference_ros.core.wire import ROBOT_TOPIC, RobotPacket
from vla_inference_ros.msg import RobotState

PACKET = RobotPacket(
    origin_time=1.7e9 + 0.25,
    send_time=1.7e9 + 0.5,
    force=1.5,
    joints=(0.0, 90.0, -90.0, 45.0, 90.0, -30.0),
    pose=(100.0, -200.0, 308.0, 90.0, 0.0, 0.0),
)


ZEROS = (0.0,) * 6
_STARTS = itertools.count(0, 10_000)  # lest one that restarts send the same packets again


@dataclass
class Robot:
    """The robot's host: a PUB socket, as on the rig."""

    socket: zmq.Socket[bytes]
    sent: int

    def send(self, packet: RobotPacket = PACKET) -> float:
        """Send a good packet with an origin time of its own."""
        self.sent += 1
        stamp = 1.7e9 + self.sent / 64
        packet = replace(packet, origin_time=stamp, send_time=stamp + 0.25)
        self.socket.send_multipart(packet.pack())
        return stamp


@contextmanager
def robot_on(port: int) -> Iterator[Robot]:
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.set(zmq.LINGER, 0)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        yield Robot(publisher, sent=next(_STARTS))


@dataclass
class Heard:
    states: list[RobotState]
    joints: list[JointState]
    poses: list[PoseStamped]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port(socket.SOCK_STREAM)


@pytest.fixture(scope="module")
def bridge(port: int) -> Iterator[NodeProcess]:
    with running("robot_bridge", clock_mode="trust", port=port) as node:
        node.wait_until_said("listening to")  # so that the sender comes after the node
        yield node


@pytest.fixture
def heard(listener: Listener) -> Heard:
    return Heard(
        listener.listen(RobotState, "/robot/state"),
        listener.listen(JointState, "/joint_states"),
        listener.listen(PoseStamped, "/robot/pose"),
    )


@pytest.fixture
def robot(bridge: NodeProcess, port: int, heard: Heard, listener: Listener) -> Iterator[Robot]:
    """A sender that has just (re)started on the port, and been heard on all topics."""
    with robot_on(port) as robot:
        listener.spin_until(
            lambda: heard.states and heard.joints and heard.poses, repeat=robot.send
        )
        yield robot


def test_a_packet_becomes_si_units(robot: Robot, heard: Heard, listener: Listener) -> None:
    stamp = robot.send()
    listener.spin_until(
        lambda: all(
            messages and seconds(messages[-1].header.stamp) == stamp
            for messages in (heard.states, heard.joints, heard.poses)
        )
    )
    joints = [0.0, math.pi / 2, -math.pi / 2, math.pi / 4, math.pi / 2, -math.pi / 6]
    state, joint_state, pose = heard.states[-1], heard.joints[-1], heard.poses[-1]
    assert seconds(state.send_stamp) == stamp + 0.25
    assert state.force == PACKET.force
    np.testing.assert_allclose(state.joint_position, joints, atol=1e-12)
    np.testing.assert_allclose(state.position, [0.1, -0.2, 0.308], atol=1e-12)
    np.testing.assert_allclose(state.euler_xyz, [math.pi / 2, 0.0, 0.0], atol=1e-12)
    assert list(joint_state.name) == [f"joint_{index}" for index in range(1, 7)]
    np.testing.assert_allclose(joint_state.position, joints, atol=1e-12)
    position, orientation = pose.pose.position, pose.pose.orientation
    np.testing.assert_allclose([position.x, position.y, position.z], [0.1, -0.2, 0.308])
    np.testing.assert_allclose(
        [orientation.x, orientation.y, orientation.z, orientation.w],
        [math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)],
        atol=1e-12,
    )
    assert state.header.frame_id == pose.header.frame_id == "base_link"


def test_no_packet_is_lost(robot: Robot, heard: Heard, listener: Listener) -> None:
    stamps = []
    for _ in range(300):
        stamps.append(robot.send())
        listener.spin_for(0.002)
    topics = (heard.states, heard.joints, heard.poses)
    listener.spin_until(
        lambda: all(seconds(messages[-1].header.stamp) == stamps[-1] for messages in topics)
    )
    for messages in topics:
        assert [seconds(message.header.stamp) for message in messages[-300:]] == stamps


def test_bad_input_is_counted_and_nothing_good_beside_it_is_lost(
    bridge: NodeProcess, robot: Robot, heard: Heard, listener: Listener
) -> None:
    payload = PACKET.pack()[1]
    nan, inf = float("nan"), float("inf")
    bad = {
        "part count": [[ROBOT_TOPIC], [ROBOT_TOPIC, payload, b""]],
        "unknown topic": [[b"robot_state2", payload], [b"robot_state/right", payload]],
        "wrong size": [[ROBOT_TOPIC, payload[:-1]], [ROBOT_TOPIC, b""], [ROBOT_TOPIC, payload * 2]],
        "not finite": [
            replace(PACKET, force=nan).pack(),
            replace(PACKET, joints=(nan, *PACKET.joints[1:])).pack(),
            replace(PACKET, pose=(*PACKET.pose[:5], -inf)).pack(),
        ],
        "joint out of range": [
            replace(PACKET, joints=(3e38,) * 6).pack(),
            replace(PACKET, joints=(*PACKET.joints[:4], 121.0, 0.0)).pack(),
        ],
        "pose out of range": [
            replace(PACKET, pose=(2e6, *PACKET.pose[1:])).pack(),
            replace(PACKET, pose=(*PACKET.pose[:5], 3e38)).pack(),
        ],
        "force out of range": [replace(PACKET, force=-3e38).pack()],
        "empty state": [replace(PACKET, joints=ZEROS, pose=ZEROS).pack()],
        "bad time": [
            replace(PACKET, origin_time=nan).pack(),
            replace(PACKET, origin_time=0.0).pack(),
            replace(PACKET, send_time=1.7e12).pack(),
            replace(PACKET, send_time=4e9).pack(),
        ],
    }
    before = listener.report("robot_bridge", "robot")
    stamps = []
    for messages in bad.values():
        for parts in messages:
            for _ in range(20):
                robot.socket.send_multipart([b"camera", payload])  # not subscribed to
                robot.socket.send_multipart(parts)
            stamps.append(robot.send())
    expected = {kind: 20 * len(messages) for kind, messages in bad.items()}
    report = listener.report(
        "robot_bridge",
        "robot",
        lambda report: report.rejected == before.rejected + sum(expected.values()),
    )
    assert problems(report) == expected
    assert report.accepted == before.accepted + len(stamps)
    assert report.ignored == 0
    listener.spin_until(lambda: seconds(heard.states[-1].header.stamp) == stamps[-1])
    assert [seconds(state.header.stamp) for state in heard.states[-len(stamps) :]] == stamps
    for kind in bad:
        assert 1 <= len(bridge.said(f"({kind}: ")) <= 5


def test_the_sender_may_restart(
    robot: Robot, bridge: NodeProcess, heard: Heard, listener: Listener
) -> None:
    # Every test here restarts it, by the fixture; the node has to be the one that was started.
    report = listener.report("robot_bridge", "robot", lambda report: report.accepted > 0)
    assert report.ready
    assert bridge.process.poll() is None


def test_a_sender_that_stops_is_reported_and_so_is_its_return(
    robot: Robot, listener: Listener
) -> None:
    sent = robot.sent
    listener.spin_until(lambda: robot.sent > sent + 40, repeat=robot.send)  # its rhythm is known
    listener.report("robot_bridge", "robot", lambda r: SILENT not in r.troubles, robot.send)
    listener.report("robot_bridge", "robot", lambda r: SILENT in r.troubles)
    listener.report("robot_bridge", "robot", lambda r: SILENT not in r.troubles, robot.send)


def test_packets_that_are_missing_or_come_again_are_reported(
    robot: Robot, listener: Listener
) -> None:
    sent = robot.sent
    listener.spin_until(lambda: robot.sent > sent + 40, repeat=robot.send)

    before = listener.report("robot_bridge", "robot")

    def lose_some() -> None:
        robot.sent += 2
        robot.send()

    listener.report("robot_bridge", "robot", lambda r: MISSING in r.troubles, repeat=lose_some)
    stamp = 1.7e9 + robot.sent / 64
    again = replace(PACKET, origin_time=stamp, send_time=stamp + 0.25).pack()
    found = listener.report(
        "robot_bridge",
        "robot",
        lambda r: REPEATED in r.troubles,
        repeat=lambda: robot.socket.send_multipart(again),
    )
    assert found.lost >= 2
    assert found.repeated >= 1
    assert found.rejected == before.rejected  # nothing about it is bad input


def test_names_and_frame_are_configuration(listener: Listener, heard: Heard) -> None:
    port = free_port(socket.SOCK_STREAM)
    names = [f"meca_axis_{index}_joint" for index in range(1, 7)]
    with (
        robot_on(port) as robot,
        running(
            "robot_bridge",
            clock_mode="trust",
            port=port,
            joint_names=names,
            base_frame="meca_base_link",
        ),
    ):
        listener.spin_until(
            lambda: (
                any(list(message.name) == names for message in heard.joints)
                and any(message.header.frame_id == "meca_base_link" for message in heard.poses)
            ),
            repeat=robot.send,
        )


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "'joint_minima'" in failed_start("robot_bridge", joint_minima=[0.0] * 5)
    assert "joint 1 from 0 to -1 deg" in failed_start(
        "robot_bridge", joint_minima=[0.0] * 6, joint_maxima=[-1.0] * 6
    )
    assert "'joint_names'" in failed_start("robot_bridge", joint_names=["joint_1"])
    assert "'host'" in failed_start("robot_bridge", host="no host")

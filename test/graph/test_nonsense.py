"""Finite nonsense on real sockets: refused and named, so that its sender is as stale as it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import zmq
from harness import LATCHED, Listener, NodeProcess, free_port, problems, running

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.limits import ZEROS
from vla_inference_ros.core.wire import ASCAN_LENGTH, RobotPacket, SensorDatagram
from vla_inference_ros.msg import InferenceStatus, RobotState, SensorBatch
from vla_inference_ros.sim.robot_path import robot_packet

HUGE = 3e38
NONE = (0.0,) * 6
STALE = 2.0  # s, older than any input that is used


@dataclass
class Robot:
    """The robot's host."""

    socket: zmq.Socket[bytes]

    def send(self, **changes: object) -> None:
        """The state now, with changes."""
        now = time.time()
        packet: RobotPacket = replace(robot_packet(now, now), **changes)  # type: ignore[arg-type]
        self.socket.send_multipart(packet.pack())


@pytest.fixture
def robot(port: int) -> Iterator[Robot]:
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.set(zmq.LINGER, 0)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        yield Robot(publisher)


@pytest.fixture
def bridge(port: int, robot: Robot) -> Iterator[NodeProcess]:
    with running("robot_bridge", clock_mode="trust", port=port) as node:
        yield node


def test_a_robot_that_says_nothing_but_nonsense_is_stale_and_the_verdict_says_why(
    robot: Robot, bridge: NodeProcess, listener: Listener
) -> None:
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    states = listener.listen(RobotState, "/robot/state")
    with running("monitor"):
        listener.spin_until(
            lambda: 0.0 <= statuses[-1].robot_age < STALE and not statuses[-1].troubles,
            repeat=robot.send,
        )
        began = time.time()

        def send_nonsense() -> None:
            robot.send(joints=(HUGE,) * 6)
            robot.send(pose=(2e6, 0.0, 0.0, 0.0, 0.0, 0.0))
            robot.send(joints=NONE, pose=NONE)

        wanted = {f"robot: {kind} out of range" for kind in ("joint", "pose")}
        wanted |= {"robot: empty state"}
        listener.spin_until(
            lambda: wanted <= set(statuses[-1].troubles) and statuses[-1].robot_age > STALE,
            repeat=send_nonsense,
        )
        assert max(seconds(state.header.stamp) for state in states) < began
        bridge.wait_until_said(
            "joint 1 is at 3e+38 deg, not -180 to 180: is the sender's unit deg?"
        )
        listener.spin_until(
            lambda: not statuses[-1].troubles and 0.0 <= statuses[-1].robot_age < STALE,
            repeat=robot.send,
        )


def test_joints_that_are_all_zero_are_used_and_told_of(
    robot: Robot, bridge: NodeProcess, listener: Listener
) -> None:
    states = listener.listen(RobotState, "/robot/state")
    report = listener.report(
        "robot_bridge",
        "robot",
        lambda r: any(each.startswith(f"{ZEROS}: ") for each in r.oddities),
        repeat=lambda: robot.send(joints=NONE),
    )
    assert not report.rejected
    listener.spin_until(lambda: not any(states[-1].joint_position))
    bridge.wait_until_said("is the arm at its zero position, or are they not read at all?")


def test_another_arm_is_taken_by_its_own_limits(
    robot: Robot, port: int, listener: Listener
) -> None:
    states = listener.listen(RobotState, "/robot/state")
    with running(
        "robot_bridge",
        clock_mode="trust",
        port=port,
        joint_minima=[-400.0] * 6,
        joint_maxima=[400.0] * 6,
        position_limit=5000.0,
        force_limit=3000.0,
    ):
        pose = (3000.0, -4000.0, 0.0, 0.0, 0.0, 0.0)
        listener.spin_until(
            lambda: any(state.force == 2000.0 for state in states),
            repeat=lambda: robot.send(joints=(300.0,) * 6, pose=pose, force=2000.0),
        )


def test_samples_that_are_nonsense_are_refused_and_told_of(listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)
    batches = listener.listen(SensorBatch, "/sensor/samples")

    def send(force: float = 0.5, point: float = 1.0) -> None:
        now = np.array([time.time()])
        ascan = np.full((1, ASCAN_LENGTH), point, np.float32)
        datagram = SensorDatagram(now, now, np.array([force], np.float32), ascan)
        udp.sendto(datagram.pack(), ("127.0.0.1", port))

    def send_nonsense() -> None:
        send(force=-HUGE)
        send(point=HUGE)

    with (
        running("sensor_bridge", port=port, clock_mode="trust") as bridge,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        bridge.wait_until_said("waiting for the sensor")
        listener.spin_until(lambda: batches, repeat=send)
        wanted = {f"{what} out of range" for what in ("force", "A-scan")}
        report = listener.report(
            "sensor_bridge", "sensor", lambda r: wanted <= set(r.troubles), send_nonsense
        )
        assert set(problems(report)) == wanted
        assert all(max(map(abs, batch.force)) == 0.5 for batch in batches)

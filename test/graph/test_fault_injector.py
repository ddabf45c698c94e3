from __future__ import annotations

import dataclasses
import math
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
import zmq
from harness import TIMEOUT, Listener, NodeProcess, failed_start, free_port, running
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.nodes.fault_injector import FaultInjectorConfig
from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.spoilt import CONTENTS

T = 1_700_000_000.25
HOST = "127.0.0.1"
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
FAULTS = [field.name for field in dataclasses.fields(Faults) if field.name != "only"]


def frame(camera: str, number: int = 0) -> list[bytes]:
    return CameraFrame(camera, T + number, JPEG, 8, 8, T + number + 0.5).pack()


def state(number: int = 0) -> list[bytes]:
    return RobotPacket(T + number, T + number + 0.5, 1.5, (0.5,) * 6, (0.25,) * 6).pack()


def datagram(number: int = 0) -> bytes:
    times, ascan = np.array([T + number]), np.zeros((1, ASCAN_LENGTH), np.float32)
    return SensorDatagram(times, times + 0.5, ascan[:, 0], ascan).pack()


def zmq_end(stack: ExitStack, kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
    end = stack.enter_context(context.socket(kind))
    end.set(zmq.LINGER, 0)
    end.set(zmq.RCVTIMEO, int(TIMEOUT * 1e3))
    if kind == zmq.SUB:
        end.subscribe(b"")
    return end


def udp_end(stack: ExitStack) -> socket.socket:
    end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    end.bind((HOST, 0))
    end.settimeout(TIMEOUT)
    return end


class Rig:
    """The senders' and the bridges' sockets, and the node's parameters that make it fit."""

    def __init__(self, stack: ExitStack) -> None:
        self.cameras, self.camera_bridge = zmq_end(stack, zmq.PUSH), zmq_end(stack, zmq.PULL)
        self.robot, self.robot_bridge = zmq_end(stack, zmq.PUB), zmq_end(stack, zmq.SUB)
        self.sensor, self.sensor_bridge = udp_end(stack), udp_end(stack)
        self.ports = {
            "camera_listen_port": free_port(socket.SOCK_STREAM),
            "camera_port": self.camera_bridge.bind_to_random_port(f"tcp://{HOST}"),
            "robot_source_port": self.robot.bind_to_random_port(f"tcp://{HOST}"),
            "robot_port": free_port(socket.SOCK_STREAM),
            "sensor_listen_port": free_port(socket.SOCK_DGRAM),
            "sensor_port": self.sensor_bridge.getsockname()[1],
        }
        self.cameras.connect(f"tcp://{HOST}:{self.ports['camera_listen_port']}")
        self.robot_bridge.connect(f"tcp://{HOST}:{self.ports['robot_port']}")
        self.sensor.connect((HOST, self.ports["sensor_listen_port"]))

    def connect(self, listener: Listener) -> None:
        """Wait until frames and states come through, and all that were sent for it are gone."""
        for end, bridge in ((self.cameras, self.camera_bridge), (self.robot, self.robot_bridge)):
            listener.spin_until(partial(bridge.poll, 0), partial(end.send_multipart, [b"hello"]))
            end.send_multipart([b"last hello"])
            while bridge.recv_multipart() != [b"last hello"]:
                pass

    def through_cameras(self, *packets: list[bytes]) -> list[list[bytes]]:
        """What comes out for so many frames."""
        for packet in packets:
            self.cameras.send_multipart(packet)
        return [self.camera_bridge.recv_multipart() for _ in packets]

    def through_robot(self, *packets: list[bytes]) -> list[list[bytes]]:
        """What comes out for so many packets."""
        for packet in packets:
            self.robot.send_multipart(packet)
        return [self.robot_bridge.recv_multipart() for _ in packets]

    def through_sensor(self, *packets: bytes) -> list[bytes]:
        """What comes out for so many datagrams."""
        for packet in packets:
            self.sensor.send(packet)
        return [self.sensor_bridge.recv(65536) for _ in packets]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with ExitStack() as stack:
        yield Rig(stack)


@pytest.fixture(scope="module")
def node(rig: Rig, listener: Listener) -> Iterator[NodeProcess]:
    """The node, once all streams come through it."""
    with running("fault_injector", **rig.ports) as node:
        node.wait_until_said("passing on")
        rig.connect(listener)
        yield node


@dataclass
class Setter:
    """Sets the node's parameters, as ``ros2 param set`` does."""

    node: rclpy.node.Node

    def __post_init__(self) -> None:
        self._client = self.node.create_client(SetParameters, "/fault_injector/set_parameters")
        assert self._client.wait_for_service(TIMEOUT)
        self._changed: list[str] = []

    def set(self, name: str, value: bool | int | float | str) -> None:
        """Set one that must be taken; when this returns, it is in force."""
        assert self.refusal(name, value) == ""
        self._changed.append(name)

    def refusal(self, name: str, value: bool | int | float | str) -> str:
        """Why a value is refused; empty if it is taken."""
        request = SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]
        )
        future = self._client.call_async(request)
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=TIMEOUT)
        (result,) = future.result().results
        assert result.successful == (result.reason == "")
        return str(result.reason)

    def undo(self) -> None:
        """Set all back to no faults."""
        for name in list(self._changed):
            self.set(name, getattr(FaultInjectorConfig(), name))


@pytest.fixture
def setter(node: NodeProcess) -> Iterator[Setter]:
    client = rclpy.create_node("setter")
    setter = Setter(client)
    yield setter
    setter.undo()
    client.destroy_node()


# --- traffic


@pytest.mark.usefixtures("node")
def test_without_faults_all_streams_pass_unchanged(rig: Rig) -> None:
    frames = [frame("oak", number) for number in range(5)]
    assert rig.through_cameras(*frames, [b"junk"]) == [*frames, [b"junk"]]
    states = [state(number) for number in range(5)]
    assert rig.through_robot(*states, [b"junk"]) == [*states, [b"junk"]]
    datagrams = [datagram(number) for number in range(5)]
    assert rig.through_sensor(*datagrams, b"junk") == [*datagrams, b"junk"]


def test_a_fault_that_is_set_is_in_force_until_it_is_set_back(rig: Rig, setter: Setter) -> None:
    first, second = datagram(1), datagram(2)
    setter.set("sensor_duplicate", 1.0)
    assert [*rig.through_sensor(first), rig.sensor_bridge.recv(65536)] == [first, first]
    setter.set("sensor_duplicate", 0.0)
    assert rig.through_sensor(first, second) == [first, second]


def test_a_fault_befalls_its_own_stream_only(rig: Rig, setter: Setter) -> None:
    setter.set("robot_clock_step", 2.0)
    assert rig.through_robot(state(0)) == [
        RobotPacket(T + 2.0, T + 2.5, 1.5, (0.5,) * 6, (0.25,) * 6).pack()
    ]
    assert rig.through_cameras(frame("oak")) == [frame("oak")]
    assert rig.through_sensor(datagram()) == [datagram()]


def test_some_cameras_can_be_frozen(rig: Rig, setter: Setter) -> None:
    setter.set("camera_only", "zed")
    setter.set("camera_frozen", True)
    given = [frame(camera, number) for number in range(3) for camera in ("zed", "oak")]
    assert rig.through_cameras(*given) == [given[n] for n in (0, 1, 0, 3, 0, 5)]


def test_changes_and_what_has_been_done_are_logged(
    rig: Rig, setter: Setter, node: NodeProcess
) -> None:
    setter.set("sensor_loss", 1.0)
    node.wait_until_said("sensor_loss: 0.0 -> 1.0")
    for number in range(5):
        rig.sensor.send(datagram(number))
    node.wait_until_said(" 5 lost")
    (line,) = node.said(" 5 lost")
    assert "sensor: of " in line
    setter.set("sensor_loss", 0.0)
    assert rig.through_sensor(datagram(7)) == [datagram(7)]


# --- values


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("sensor_loss", 1.5, "Min: 0.0, Max: 1.0, value: 1.5"),
        ("sensor_loss", math.nan, "value: nan"),
        (
            "sensor_loss",
            math.nextafter(1.0, 2.0),
            "'sensor_loss' is 1.0000000000000002, not 0 to 1",
        ),
        ("sensor_loss", 1, "Wrong parameter type"),
        ("camera_frozen", "yes", "Wrong parameter type"),
        ("robot_delay", -0.1, "value: -0.1"),
        ("camera_port", 5000, "read-only parameter: camera_port"),
        ("seed", 3, "read-only parameter: seed"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_reason(
    name: str, value: bool | int | float | str, reason: str, setter: Setter, node: NodeProcess
) -> None:
    accepted = "robot_delay: 0.0 -> 0.25"
    before = len(node.said(accepted))
    assert reason in setter.refusal(name, value)
    setter.set("robot_delay", 0.25)
    node.wait_until_said(accepted, before + 1)  # it goes on
    assert not [line for line in node.said(f"{name}: ") if line.endswith(f"-> {value!r}")]


@pytest.mark.parametrize("stream", ["camera", "robot", "sensor"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_every_stream_is_a_parameter(stream: str, fault: str) -> None:
    value: Any = not getattr(Faults(), fault) if "frozen" in fault else 0.5
    if fault == "content":
        if stream not in CONTENTS:  # the robot may stand still
            assert not hasattr(FaultInjectorConfig(), f"{stream}_content")
            return
        value = list(CONTENTS[stream])[-1]
    config = dataclasses.replace(FaultInjectorConfig(), **{f"{stream}_{fault}": value})
    assert config.faults(stream) == dataclasses.replace(Faults(), **{fault: value})
    for other in {"camera", "robot", "sensor"} - {stream}:
        assert config.faults(other) == Faults()


def test_only_cameras_are_told_apart() -> None:
    config = dataclasses.replace(FaultInjectorConfig(), camera_only="oak")
    assert config.faults("camera") == Faults(only="oak")
    assert config.faults("robot") == config.faults("sensor") == Faults()


# --- starting


def test_faults_can_be_there_from_the_start() -> None:
    with ExitStack() as stack:
        rig = Rig(stack)
        with running("fault_injector", **rig.ports, sensor_clock_step=2.0) as node:
            node.wait_until_said("passing on")
            (got,) = rig.through_sensor(datagram())
            assert SensorDatagram.unpack(got).times == T + 2.0
    assert "'sensor_loss'" in failed_start("fault_injector", sensor_loss=1.5)


@pytest.mark.parametrize(
    ("parameter", "kind"),
    [
        ("camera_listen_port", socket.SOCK_STREAM),
        ("robot_port", socket.SOCK_STREAM),
        ("sensor_listen_port", socket.SOCK_DGRAM),
    ],
)
def test_a_port_in_use_is_named(parameter: str, kind: socket.SocketKind) -> None:
    with ExitStack() as stack:
        ports = Rig(stack).ports
        taken = stack.enter_context(socket.socket(socket.AF_INET, kind))
        taken.bind(("0.0.0.0", ports[parameter]))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        line = failed_start("fault_injector", **ports)
    assert f"'{parameter}'" in line
    assert f":{ports[parameter]}: " in line
    assert "in use" in line


def test_a_host_that_is_none_is_named() -> None:
    with ExitStack() as stack:
        line = failed_start("fault_injector", **Rig(stack).ports, sensor_host="no such host")
    assert "'sensor_host'" in line
    assert "no such host" in line

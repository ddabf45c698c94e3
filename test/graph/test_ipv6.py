"""The nodes on real sockets of IPv6: each stream comes, and its sender is named and admitted."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, closing
from typing import Any

import numpy as np
import pytest
from harness import Listener, failed_start, free_port, problems, running
from ipv6 import HOSTS, LINK_LOCAL, LOOPBACK, needs_ipv6, needs_link_local
from threads import in_thread

from vla_inference_ros.core.address import resolve, with_port
from vla_inference_ros.core.wire import ASCAN_LENGTH, SensorDatagram
from vla_inference_ros.msg import RobotState, SensorBatch
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.senders import (
    CameraConfig,
    CameraSender,
    RobotConfig,
    RobotSender,
    SensorConfig,
    SensorSender,
)

SMALL = PictureFormat(320, 180)
EITHER = ["127.0.0.1", pytest.param(LOOPBACK, marks=needs_ipv6)]


def datagram() -> bytes:
    now = np.array([time.time()])
    ascan = np.zeros((1, ASCAN_LENGTH), np.float32)
    return SensorDatagram(now, now, np.zeros(1, np.float32), ascan).pack()


def udp(host: str, port: int, stack: ExitStack) -> Any:
    """A function that sends a datagram to a host, always from one socket."""
    family, there = resolve(host, port)
    made = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    made.connect(there)
    return made


@pytest.mark.parametrize("host", HOSTS)
def test_a_robot_is_heard(host: str, listener: Listener, port: int) -> None:
    states = listener.listen(RobotState, "/robot/state")
    with (
        running("robot_bridge", host=host, port=port, clock_mode="trust") as bridge,
        closing(RobotSender(RobotConfig(host, port))) as robot,
        in_thread(robot.run),
    ):
        listener.spin_until(lambda: states)
        bridge.wait_until_said(f"listening to {with_port(host, port)}")


@pytest.mark.parametrize("host", EITHER)
def test_cameras_of_both_kinds_are_heard_by_default(
    host: str, listener: Listener, port: int
) -> None:
    cameras = CameraConfig(host, port, ("oak",), picture=SMALL, pool=1)
    with (
        running("camera_bridge", port=port),
        closing(CameraSender(cameras)) as camera,
        in_thread(camera.run),
    ):
        listener.report("camera_bridge", "View5", lambda report: report.accepted > 0)


@needs_ipv6
def test_two_cameras_of_one_view_are_told_apart(listener: Listener, port: int) -> None:
    with running("camera_bridge", port=port) as bridge, ExitStack() as stack:
        for host in ("127.0.0.1", LOOPBACK):
            config = CameraConfig(host, port, ("oak",), picture=SMALL, pool=1)
            camera = stack.enter_context(closing(CameraSender(config)))
            stack.enter_context(in_thread(camera.run))
        listener.report("camera_bridge", "View5", lambda r: "second source" in r.problem_kinds)
        (line, *_) = bridge.said("sends as well as camera 'oak' at ")
        assert "camera 'oak' at 127.0.0.1:" in line
        assert "camera 'oak' at [::1]:" in line


@pytest.mark.parametrize("host", EITHER)
def test_sensors_of_both_kinds_are_heard_by_default(host: str, listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)
    batches = listener.listen(SensorBatch, "/sensor/samples")
    with (
        running("sensor_bridge", port=port),
        closing(SensorSender(SensorConfig(host, port))) as sensor,
        in_thread(sensor.run),
    ):
        listener.spin_until(lambda: batches)


@needs_link_local
def test_a_sensor_of_one_network_is_named_with_its_interface(listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)
    allowed = f"{LINK_LOCAL}, 192.168.1.20"
    with (
        running("sensor_bridge", port=port, bind_address=LINK_LOCAL, allowed_sources=allowed),
        closing(SensorSender(SensorConfig(LINK_LOCAL, port))) as sensor,
        in_thread(sensor.run),
    ):
        listener.report("sensor_bridge", "sensor", lambda report: report.accepted > 0)


@needs_ipv6
def test_an_allow_list_knows_both_kinds_on_one_socket(listener: Listener) -> None:
    """127.0.0.1 comes as ::ffff:127.0.0.1 there."""
    port = free_port(socket.SOCK_DGRAM)
    for allowed, foreign, entries in (
        ("127.0.0.1", LOOPBACK, "127.0.0.1, 10.0.0.0/8"),
        (LOOPBACK, "127.0.0.1", "fd00::/8, ::1"),
    ):
        with (
            running("sensor_bridge", port=port, allowed_sources=entries) as bridge,
            ExitStack() as stack,
        ):
            bridge.wait_until_said("waiting for the sensor")
            good, bad = (udp(host, port, stack) for host in (allowed, foreign))
            for _ in range(20):
                bad.send(datagram())
                good.send(datagram())
            report = listener.report(
                "sensor_bridge", "sensor", lambda r: r.accepted + r.rejected == 40
            )
            assert problems(report) == {"foreign source": 20}
            bridge.wait_until_said(f"a datagram from {foreign}, which is not in allowed_sources")


@needs_ipv6
def test_a_second_sensor_is_named(listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with running("sensor_bridge", port=port) as bridge, ExitStack() as stack:
        bridge.wait_until_said("waiting for the sensor")
        first, second = udp("127.0.0.1", port, stack), udp(LOOPBACK, port, stack)
        first.send(datagram())

        def send() -> None:
            first.send(datagram())
            second.send(datagram())

        own = with_port(*second.getsockname()[:2])
        wanted = f"{own} sends as well, and is refused"
        listener.report("sensor_bridge", "sensor", lambda r: wanted in r.troubles, repeat=send)


@needs_ipv6
def test_the_fault_injector_passes_on_what_comes_by_ipv6(listener: Listener) -> None:
    tcp = {name: free_port(socket.SOCK_STREAM) for name in ("listen", "camera", "source", "robot")}
    datagrams = {name: free_port(socket.SOCK_DGRAM) for name in ("listen", "sensor")}
    states = listener.listen(RobotState, "/robot/state")
    batches = listener.listen(SensorBatch, "/sensor/samples")
    cameras = CameraConfig(LOOPBACK, tcp["listen"], ("oak",), picture=SMALL, pool=1)
    with (
        running("camera_bridge", port=tcp["camera"], bind_address=LOOPBACK),
        running("robot_bridge", host=LOOPBACK, port=tcp["robot"]),
        running("sensor_bridge", port=datagrams["sensor"], bind_address=LOOPBACK),
        running(
            "fault_injector",
            camera_listen_port=tcp["listen"],
            camera_host=LOOPBACK,
            camera_port=tcp["camera"],
            robot_source_host=LOOPBACK,
            robot_source_port=tcp["source"],
            robot_port=tcp["robot"],
            sensor_listen_port=datagrams["listen"],
            sensor_host=LOOPBACK,
            sensor_port=datagrams["sensor"],
        ),
        ExitStack() as stack,
    ):
        for sender in (
            CameraSender(cameras),
            RobotSender(RobotConfig(LOOPBACK, tcp["source"])),
            SensorSender(SensorConfig(LOOPBACK, datagrams["listen"])),
        ):
            stack.callback(sender.close)
            stack.enter_context(in_thread(sender.run))
        listener.spin_until(lambda: states and batches)
        listener.report("camera_bridge", "View5", lambda report: report.accepted > 0)


def test_what_cannot_work_is_refused_in_one_line() -> None:
    line = failed_start("robot_bridge", host="fe80::1")
    assert "'host'" in line
    assert "name its interface, as fe80::1%eth0" in line
    assert "'bind_address'" in failed_start("sensor_bridge", bind_address="fe80::1%nosuch0")
    assert "'bind_address'" in failed_start("camera_bridge", bind_address="2001:db8::1")
    assert "'allowed_sources'" in failed_start("sensor_bridge", allowed_sources="::1/200")
    for sender in ("sim_camera", "sim_sensor"):
        assert "parameter 'host'" in failed_start(sender, host="::g")

"""The doctor listens to, and reaches, what the bridges would by IPv6."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest
from doctored import Ports, sending
from ipv6 import LOOPBACK, needs_ipv6

from vla_inference_ros.doctor.listening import (
    listen_to_cameras,
    listen_to_robot,
    listen_to_sensor,
    why_unreachable,
)
from vla_inference_ros.doctor.settings import read_settings
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.senders import (
    CameraConfig,
    CameraSender,
    RobotConfig,
    RobotSender,
    SensorConfig,
    SensorSender,
)

pytestmark = needs_ipv6
SMALL = PictureFormat(320, 180)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_all_streams_are_heard(host: str, tmp_path: Path) -> None:
    ports, stop = Ports(), threading.Event()
    given = dict(each.split(":=") for each in ports.arguments)
    settings = read_settings({"model": "stub", "robot_host": host, **given})
    with sending(
        CameraSender(CameraConfig(LOOPBACK, ports.camera, ("oak",), picture=SMALL, pool=1)),
        RobotSender(RobotConfig(LOOPBACK, ports.robot)),
        SensorSender(SensorConfig(LOOPBACK, ports.sensor)),
    ):
        assert why_unreachable(host, ports.robot) == ""
        assert listen_to_robot(settings, 2.0, stop).packets > 0
        sensor = listen_to_sensor(settings, 2.0, stop)
        assert sensor.packets > 0
        assert sensor.sources == (LOOPBACK,)
        assert listen_to_cameras(settings, 2.0, stop).views["View5"].packets > 0


def test_what_is_not_reached_is_told() -> None:
    assert "refused" in why_unreachable(LOOPBACK, Ports().robot)
    assert why_unreachable("fe80::1", 5556)
    with socket.create_server((LOOPBACK, 0), family=socket.AF_INET6) as server:
        assert why_unreachable("[::1]", server.getsockname()[1]) == ""

"""The doctor refuses what the bridges would, by the limits in the parameters file."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from doctored import Ports, sending

from vla_inference_ros.doctor.listening import ListenError, listen_to_robot, listen_to_sensor
from vla_inference_ros.doctor.settings import Settings, read_settings
from vla_inference_ros.sim.senders import RobotConfig, RobotSender, SensorConfig, SensorSender


def settings(tmp_path: Path, ports: Ports, parameters: str) -> Settings:
    file = tmp_path / "own.yaml"
    file.write_text(parameters, encoding="utf-8")
    given = dict(each.split(":=") for each in ports.arguments)
    return read_settings({"model": "stub", "params_file": str(file), **given})


def test_a_robot_beyond_its_limits_is_refused(tmp_path: Path) -> None:
    ports = Ports()
    own = settings(tmp_path, ports, "robot_bridge: {ros__parameters: {position_limit: 10.0}}")
    with sending(RobotSender(RobotConfig(port=ports.robot))):
        heard = listen_to_robot(own, 2.0, threading.Event())
    assert heard.packets == 0
    (trouble,) = heard.troubles
    assert trouble.kind == "pose out of range"
    assert "beyond 10: is the sender's unit mm?" in trouble.message


def test_samples_beyond_their_limits_are_refused(tmp_path: Path) -> None:
    ports = Ports()
    own = settings(tmp_path, ports, "sensor_bridge: {ros__parameters: {ascan_limit: 0.001}}")
    with sending(SensorSender(SensorConfig(port=ports.sensor))):
        heard = listen_to_sensor(own, 2.0, threading.Event())
    assert heard.packets == 0
    assert {trouble.kind for trouble in heard.troubles} == {"A-scan out of range"}


def test_limits_that_are_none_are_named(tmp_path: Path) -> None:
    own = settings(
        tmp_path,
        Ports(),
        "robot_bridge: {ros__parameters: {joint_minima: [1.0, 1.0, 1.0, 1.0, 1.0, 99999.0]}}",
    )
    with pytest.raises(ListenError, match="joint 6 from 99999 to 36005 deg is no range"):
        listen_to_robot(own, 0.1, threading.Event())

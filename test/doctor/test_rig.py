"""The whole command, beside real senders."""

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from doctored import LISTEN, Examined, Ports, examined, sending
from harness import running

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.senders import (
    CAMERA_NAMES,
    CameraConfig,
    CameraSender,
    RobotConfig,
    RobotSender,
    SensorConfig,
    SensorSender,
)

FAST = PictureFormat(width=640, height=360, target_bytes=0)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
SMALL = PictureFormat(width=320, height=180, target_bytes=0)


@pytest.fixture
def ports() -> Ports:
    return Ports()


def cameras(ports: Ports, *names: str, fps: float = 10.0) -> CameraSender:
    return CameraSender(CameraConfig(port=ports.camera, names=names, fps=fps, picture=FAST, pool=1))


class Repeated:
    """Sends the same again and again."""

    def __init__(self, ports: Ports, *, datagram: bytes = b"", parts: list[bytes]) -> None:
        self._datagram, self._parts = datagram, parts
        self._to = ("127.0.0.1", ports.sensor)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._push = self._context.socket(zmq.PUSH)
        self._push.set(zmq.IMMEDIATE, 1)
        self._push.connect(f"tcp://127.0.0.1:{ports.camera}")

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(0.02):
            if self._datagram:
                self._udp.sendto(self._datagram, self._to)
            try:
                self._push.send_multipart(self._parts, zmq.NOBLOCK)
            except zmq.Again:  # nobody listens yet, or any more
                continue

    def close(self) -> None:
        self._udp.close()
        self._context.destroy(linger=0)


def test_a_healthy_rig_has_no_problem(ports: Ports, capsys: pytest.CaptureFixture[str]) -> None:
    with sending(
        cameras(ports, *CAMERA_NAMES),
        RobotSender(RobotConfig(port=ports.robot)),
        SensorSender(SensorConfig(port=ports.sensor)),
    ):
        found = examined(capsys, ["model:=stub", *ports.arguments, "--listen", LISTEN])
    assert found.with_status("PROBLEM") == []
    assert found.status == 0
    for view, name in zip(VIEWS, CAMERA_NAMES, strict=True):
        result = found.results[f"camera {view}"]
        assert 7 < result["values"]["rate_hz"] < 13
        assert 2_000 < result["values"]["size_bytes"] < 100_000
        assert f"640x360, from {name}" in result["finding"]
    assert 70 < found.results["robot"]["values"]["rate_hz"] < 130
    assert 500 < found.results["sensor"]["values"]["rate_hz"] < 800
    assert found.results["sensor"]["values"]["size_bytes"] == 4 + 15 * 4120
    for name in ("robot", "sensor"):
        assert abs(found.results[f"clock of {name}"]["values"]["offset_s"]) < 0.5
    assert found.of("camera traffic")[0] == "OK"
    assert found.of(f"port TCP {ports.camera}")[0] == "OK"
    assert found.of(f"port UDP {ports.sensor}")[0] == "OK"
    for check in found.results:
        assert f"`{re.sub(r' [0-9]+$| View.| of (cuda|View|rob|sens).*', '', check)}" in DOCUMENT


@pytest.fixture
def sick(ports: Ports, capsys: pytest.CaptureFixture[str]) -> Iterator[Examined]:
    """No View1, a slow View2, two cameras as View5, a foreign camera, A-scans of 1024 points, no
    robot.
    """
    ascan = b"\x01\x00\x00\x00" + bytes(4120 - 4)
    frame = CameraFrame("webcam\x1b[2J", time.time(), b"\xff\xd8", 0, 0)
    with sending(
        cameras(ports, CAMERA_NAMES[1], fps=2.0),
        cameras(ports, *CAMERA_NAMES[2:4], "oak_CAM_A", "oak_CAM_B"),
        CameraSender(CameraConfig(port=ports.camera, names=("hall_cam",), picture=SMALL)),
        Repeated(ports, datagram=ascan, parts=frame.pack()),
    ):
        yield examined(capsys, ["model:=stub", *ports.arguments, "--listen", LISTEN])


def test_planted_faults_of_senders_are_named(sick: Examined, ports: Ports) -> None:
    assert sick.status == 1

    status, finding, remedy = sick.of("camera View1")
    assert status == "PROBLEM"
    assert finding.startswith("no picture in 4.")
    assert "start its sender" in remedy

    status, finding, remedy = sick.of("camera View2")
    assert status == "WARNING"
    assert "pictures/s" in finding
    assert "under 5/s chunks are DEGRADED" in finding
    assert remedy.startswith("raise the camera's rate")

    assert sick.of("camera View3")[0] == sick.of("camera View4")[0] == "OK"

    status, finding, remedy = sick.of("camera View5")
    assert status == "PROBLEM"
    assert "2 cameras are one view" in finding
    assert "view_map" in remedy

    status, finding, remedy = sick.of("camera traffic")
    assert status == "WARNING"
    assert "end marker" in finding
    assert "encoder" in remedy

    status, finding, remedy = sick.of("robot")
    assert status == "PROBLEM"
    assert finding == f"127.0.0.1:{ports.robot} cannot be reached: Connection refused"
    assert "robot_host:=" in remedy

    status, finding, remedy = sick.of("sensor")
    assert status == "PROBLEM"
    assert finding.startswith("every datagram is refused: sensor datagram is 4120 bytes, not 4 + ")
    assert remedy.startswith("set the sender to A-scans of 1025 points")


def test_slow_senders_and_a_wrong_clock_are_named(
    ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    hall = CameraSender(CameraConfig(port=ports.camera, names=("hall_cam",), picture=SMALL))
    with sending(
        hall,
        RobotSender(RobotConfig(port=ports.robot, rate=4.0)),
        SensorSender(SensorConfig(port=ports.sensor, rate=260.0, clock_skew=5.0)),
    ):
        found = examined(capsys, ["model:=stub", *ports.arguments, "--listen", LISTEN])
    status, finding, remedy = found.of("sensor")
    assert status == "PROBLEM"
    assert "too few for a chunk, which takes 330" in finding
    assert remedy.startswith("set the sender to 650 samples/s")

    status, finding, remedy = found.of("clock of sensor")
    assert status == "WARNING"
    assert found.results["clock of sensor"]["values"]["offset_s"] == pytest.approx(-5.0, abs=0.5)
    assert "nobody keeps it in step" in finding
    assert "NTP" in remedy

    status, finding, _ = found.of("robot")
    assert status == "WARNING"
    assert "under 10/s chunks are DEGRADED" in finding

    status, finding, remedy = found.of("camera traffic")
    assert status == "WARNING"
    assert "hall_cam" in finding
    assert "view_map" in remedy


def test_a_run_that_goes_on_is_read_from_its_reports(
    ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["model:=stub", *ports.arguments, "--listen", LISTEN]
    with (
        running("camera_bridge", port=ports.camera) as camera,
        running("sensor_bridge", port=ports.sensor) as sensor,
        sending(
            cameras(ports, *CAMERA_NAMES),
            RobotSender(RobotConfig(port=ports.robot)),
            SensorSender(SensorConfig(port=ports.sensor)),
        ),
    ):
        camera.wait_until_said("waiting for cameras")
        sensor.wait_until_said("clock offset")
        found = examined(capsys, arguments)
    assert found.with_status("PROBLEM") == []
    pid = camera.process.pid
    status, finding, _ = found.of(f"port TCP {ports.camera}")
    assert (status, finding) == (
        "WARNING",
        f"held by camera_bridge (process {pid}): a run is going on",
    )
    assert found.of("ROS domain")[0] == "WARNING"
    assert "with camera_bridge, sensor_bridge" in found.of("ROS domain")[1]
    for view in VIEWS:
        values = found.results[f"camera {view}"]["values"]
        assert 5 < values["rate_hz"] < 15
        assert values["size_bytes"] > 2_000
    assert 400 < found.results["sensor"]["values"]["rate_hz"] < 900
    assert found.of("clock of sensor")[0] != "skipped"


def test_another_monitor_in_the_domain_is_named(
    ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    with running("monitor") as monitor:
        monitor.wait_until_said("--- Status")
        found = examined(capsys, ["model:=stub", "sim:=true", *ports.arguments, "--listen", "2"])
    status, finding, remedy = found.of("ROS domain")
    assert status == "PROBLEM"
    number = os.environ["ROS_DOMAIN_ID"]
    assert finding == f"domain {number} has nodes of the same names already: monitor"
    assert "export ROS_DOMAIN_ID=" in remedy
    assert found.of("sensor") == ("skipped", "sim:=true starts its own sender", "")
    assert found.status == 1


def test_a_port_that_another_program_has_is_named(
    ports: Ports, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", ports.sensor))
        found = examined(capsys, ["model:=stub", "sim:=true", *ports.arguments, "--listen", "2"])
    status, finding, remedy = found.of(f"port UDP {ports.sensor}")
    assert status == "PROBLEM"
    assert finding.startswith("held by ")
    assert f"(process {os.getpid()})" in finding
    assert f"kill {os.getpid()}" in remedy

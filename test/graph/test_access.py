"""Who may send to the bridges, and how much, through the real executables."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq
from certificates import Certificate, allowing, certificate
from harness import Listener, failed_start, free_port, problems, running
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.core.curve import ClientKeys, read_pair, read_public, secure_client
from vla_inference_ros.core.wire import ASCAN_LENGTH, SensorDatagram
from vla_inference_ros.msg import RobotState

VIEW5 = "/camera/view5/image_raw/compressed"
REFUSED = "a connection failed before any message"


@dataclass(frozen=True, slots=True)
class Certificates:
    """The bridge's (or the robot's), a client's that may connect, and one's that may not."""

    server: Certificate
    client: Certificate
    stranger: Certificate
    clients: Path


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    server, client, stranger = (
        certificate(tmp_path, name) for name in ("server", "client", "stranger")
    )
    return Certificates(server, client, stranger, allowing(tmp_path / "clients", client))


def keys_of(own: Certificate, server: Certificate) -> ClientKeys:
    return ClientKeys(read_pair(own.secret), read_public(server.public))


@contextmanager
def camera_on(port: int, keys: ClientKeys | None = None) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        if keys is not None:
            secure_client(push, keys)
        push.connect(f"tcp://127.0.0.1:{port}")
        yield push


def picture(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()


def send(camera: zmq.Socket[bytes], grey: int, *more: bytes) -> None:
    header = json.dumps({"camera": "oak", "timestamp": time.time()}).encode()
    camera.send_multipart([header, picture(grey), *more])


def test_only_cameras_with_a_certificate_get_through_an_encrypted_port(
    certificates: Certificates, listener: Listener
) -> None:
    port = free_port(socket.SOCK_STREAM)
    server, client, stranger = certificates.server, certificates.client, certificates.stranger
    images = listener.listen(CompressedImage, VIEW5)
    with (
        running(
            "camera_bridge",
            port=port,
            curve_certificate=str(server.secret),
            curve_clients=str(certificates.clients),
        ) as bridge,
        camera_on(port) as plain,
        camera_on(port, keys_of(client, stranger)) as mistaken,
        camera_on(port, keys_of(stranger, server)) as unknown,
    ):
        for camera in (plain, mistaken, unknown):
            send(camera, 10)
        bridge.wait_until_said(f"{REFUSED}: do both sides use CURVE")
        with camera_on(port, keys_of(client, server)) as right:
            listener.spin_until(
                lambda: sum(image.data.tobytes() == picture(200) for image in images) > 5,
                repeat=lambda: send(right, 200),
            )
    assert picture(10) not in [image.data.tobytes() for image in images]


def test_the_simulated_senders_can_be_encrypted_too(
    certificates: Certificates, listener: Listener
) -> None:
    camera_port, robot_port = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    serving = {
        "curve_certificate": str(certificates.server.secret),
        "curve_clients": str(certificates.clients),
    }
    connecting = {
        "curve_certificate": str(certificates.client.secret),
        "curve_server": str(certificates.server.public),
    }
    images = listener.listen(CompressedImage, VIEW5)
    states = listener.listen(RobotState, "/robot/state")
    with (
        running("camera_bridge", port=camera_port, **serving),
        running("robot_bridge", port=robot_port, **connecting),
        running("sim_camera", port=camera_port, width=160, height=90, jpeg_bytes=0, **connecting),
        running("sim_robot", port=robot_port, **serving),
    ):
        listener.spin_until(lambda: images and states)


def test_an_encrypted_robot_is_not_heard_without_keys(
    certificates: Certificates, listener: Listener
) -> None:
    port = free_port(socket.SOCK_STREAM)
    with (
        running("robot_bridge", port=port) as bridge,
        running("sim_robot", port=port, curve_certificate=str(certificates.server.secret)),
    ):
        bridge.wait_until_said(f"{REFUSED}: does the other side use CURVE")
        assert listener.report("robot_bridge", "robot").accepted == 0


def test_sensor_samples_are_taken_from_allowed_sources_only(listener: Listener) -> None:
    port = free_port(socket.SOCK_DGRAM)

    def datagram(age: float) -> bytes:
        zeros = np.zeros((1, ASCAN_LENGTH), np.float32)
        now = np.array([time.time()])
        return SensorDatagram(now - age, now, zeros[:, 0], zeros).pack()

    with (
        running("sensor_bridge", port=port, allowed_sources="127.0.0.1, 10.0.0.0/8") as bridge,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as allowed,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as foreign,
    ):
        foreign.bind(("127.0.0.2", 0))
        bridge.wait_until_said("waiting for the sensor")
        for _ in range(20):
            foreign.sendto(datagram(0.05), ("127.0.0.1", port))
            foreign.sendto(b"no datagram of ours", ("127.0.0.1", port))
            allowed.sendto(datagram(0.05), ("127.0.0.1", port))
        report = listener.report(
            "sensor_bridge", "sensor", lambda report: report.accepted + report.rejected == 60
        )
        assert problems(report) == {"foreign source": 40}
        assert len(bridge.said("a datagram from 127.0.0.2, which is not in allowed_sources")) == 1


def test_messages_that_are_too_large_are_counted_and_good_ones_beside_them_come(
    listener: Listener,
) -> None:
    port, limit = free_port(socket.SOCK_STREAM), 65536
    with (
        running(
            "camera_bridge", port=port, max_message_bytes=limit, clock_modes=["trust"]
        ) as bridge,
        camera_on(port) as good,
        camera_on(port) as bad,
    ):
        for _ in range(10):
            send(bad, 0, b"x" * (limit + 1))
            send(good, 0, b"x" * limit)
        report = listener.report("camera_bridge", "camera", lambda report: report.rejected == 10)
        assert problems(report) == {"message too large": 10}
        assert bridge.said(f"over the limit of {limit}: raise max_message_bytes")
        send(bad, 0, b"x" * (2 * limit + 1))
        bridge.wait_until_said("a connection has ended")
        send(good, 0)
        report = listener.report("camera_bridge", "View5", lambda report: report.accepted == 11)
        assert not problems(report)


def test_parameters_that_cannot_be_used_are_named(
    certificates: Certificates, tmp_path: Path
) -> None:
    none, secret = str(tmp_path / "none"), str(certificates.server.secret)
    assert "'curve_certificate'" in failed_start("camera_bridge", curve_certificate=none)
    line = failed_start("camera_bridge", curve_certificate=secret, curve_clients=none)
    assert "'curve_clients'" in line
    assert "'curve_server'" in failed_start("robot_bridge", curve_certificate=secret)
    line = failed_start("sensor_bridge", allowed_sources="sensor-host")
    assert "'allowed_sources': 'sensor-host'" in line

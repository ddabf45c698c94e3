import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import zmq

from vla_inference_ros.core.wire import ROBOT_TOPIC, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.sim.needle import needle_depth
from vla_inference_ros.sim.oct_scan import oct_samples
from vla_inference_ros.sim.robot_path import robot_packet
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
from vla_inference_ros.sim.source import SourceError

TIMEOUT = 20.0  # s, until a condition that should come about at once has failed to
SMALL = PictureFormat(width=160, height=90, target_bytes=0)


@contextmanager
def running(run: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(TIMEOUT)
        assert not thread.is_alive()


@contextmanager
def zmq_socket(kind: int) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as receiver:
        receiver.set(zmq.LINGER, 0)
        receiver.set(zmq.RCVTIMEO, int(TIMEOUT * 1e3))
        yield receiver


@contextmanager
def udp_receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT)
        yield receiver


@contextmanager
def cameras(
    config: CameraConfig, on_sent: Callable[[CameraFrame], None] | None = None
) -> Iterator[CameraSender]:
    sender = CameraSender(config, on_sent)
    try:
        yield sender
    finally:
        sender.close()


def test_cameras_send_their_frames_staggered_within_a_period() -> None:
    sent: list[tuple[str, float]] = []
    with zmq_socket(zmq.PULL) as receiver:
        port = receiver.bind_to_random_port("tcp://127.0.0.1")
        config = CameraConfig(port=port, fps=20.0, picture=SMALL)
        with cameras(config, lambda f: sent.append((f.camera, f.timestamp))) as sender:
            with running(sender.run):
                messages = [receiver.recv_multipart() for _ in range(20)]
            frames = [CameraFrame.unpack(parts, 1 << 20) for parts in messages]
            assert all(len(parts) == 2 for parts in messages)
            assert sender.sent >= 20
    assert [(frame.camera, frame.timestamp) for frame in frames] == sent[:20]
    assert {frame.camera for frame in frames} == set(CAMERA_NAMES)
    assert {(frame.width, frame.height) for frame in frames} == {(160, 90)}
    for frame in frames:
        assert frame.send_time is not None
        assert frame.send_time >= frame.timestamp - 0.001
    slots = (np.array([frame.timestamp for frame in frames]) - frames[0].timestamp) * 100.0
    np.testing.assert_allclose(slots, np.rint(slots), atol=0.01)  # a fifth of the period apart
    first = CAMERA_NAMES.index(frames[0].camera)
    for frame, slot in zip(frames, np.rint(slots).astype(int), strict=True):
        assert CAMERA_NAMES.index(frame.camera) == (first + slot) % 5


def test_a_pool_sends_pictures_that_differ_as_little_as_a_live_cameras() -> None:
    with zmq_socket(zmq.PULL) as receiver:
        port = receiver.bind_to_random_port("tcp://127.0.0.1")
        config = CameraConfig(port=port, names=("oak_CAM_A",), picture=SMALL, fps=100.0, pool=1)
        with cameras(config) as sender, running(sender.run):
            frames = [CameraFrame.unpack(receiver.recv_multipart(), 1 << 20) for _ in range(5)]
    coded = [np.frombuffer(frame.jpeg, np.uint8) for frame in frames]
    pixels = [np.asarray(cv2.imdecode(each, cv2.IMREAD_COLOR)) for each in coded]
    assert pixels[0].ndim == 3
    assert all(0 < np.abs(each - pixels[0].astype(int)).mean() < 4 for each in pixels[1:])
    assert len({frame.timestamp for frame in frames}) == len({frame.jpeg for frame in frames}) == 5


def test_frames_that_nobody_takes_are_dropped_without_waiting() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and never listened on
        config = CameraConfig(port=reserved.getsockname()[1], names=("oak",), picture=SMALL, pool=1)
        with cameras(config) as sender:
            for _ in range(50):
                sender.send(0, time.time())
            assert (sender.sent, sender.dropped) == (0, 50)


def test_a_receiver_that_stops_reading_does_not_hold_the_sender() -> None:
    with zmq_socket(zmq.PULL) as receiver:
        receiver.set(zmq.RCVHWM, 1)
        port = receiver.bind_to_random_port("tcp://127.0.0.1")
        config = CameraConfig(port=port, names=("oak",), picture=PictureFormat(), pool=1)
        with cameras(config) as sender:
            deadline = time.monotonic() + TIMEOUT
            while not (sender.sent and sender.dropped) and time.monotonic() < deadline:
                sender.send(0, time.time())
            before = sender.dropped
            for _ in range(2000):
                sender.send(0, time.time())
            assert sender.sent > 0
            assert sender.dropped > before


def test_a_cameras_source_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"for 'View2  b'"):
        CameraSender(
            CameraConfig(names=("a", "b"), sources=("", str(tmp_path / "none")), picture=SMALL)
        )
    with pytest.raises(ValueError, match="2 sources for 1 cameras"):
        CameraSender(CameraConfig(names=("a",), sources=("", "")))


def test_the_robot_publishes_its_path_at_its_rate() -> None:
    sender = RobotSender(RobotConfig(bind_host="127.0.0.1", port=0, rate=100.0))
    with zmq_socket(zmq.SUB) as receiver:
        receiver.connect(f"tcp://127.0.0.1:{sender.port}")
        receiver.subscribe(ROBOT_TOPIC)
        with running(sender.run):
            packets = [RobotPacket.unpack(receiver.recv_multipart()) for _ in range(20)]
    sender.close()
    assert sender.sent >= 20
    steps = np.diff([packet.origin_time for packet in packets]) * 100.0
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
    assert steps.min() < 1.5  # none is left out, but when the machine is late
    for packet in packets:
        assert packet.send_time >= packet.origin_time - 0.001
        expected = robot_packet(packet.origin_time, packet.send_time)
        np.testing.assert_allclose(packet.joints, expected.joints, rtol=1e-5)
        np.testing.assert_allclose(packet.pose, expected.pose, rtol=1e-5, atol=1e-5)


def test_a_robot_port_in_use_is_named() -> None:
    first = RobotSender(RobotConfig(bind_host="127.0.0.1", port=0))
    try:
        with pytest.raises(OSError, match=rf"cannot bind tcp://127\.0\.0\.1:{first.port}"):
            RobotSender(RobotConfig(bind_host="127.0.0.1", port=first.port))
    finally:
        first.close()


def test_the_sensor_sends_equally_spaced_samples_by_its_own_clock() -> None:
    skew = 3.25
    with udp_receiver() as receiver:
        port = receiver.getsockname()[1]
        sender = SensorSender(SensorConfig(port=port, clock_skew=skew))
        with running(sender.run):
            datagrams = [SensorDatagram.unpack(receiver.recv(65536)) for _ in range(10)]
            received = time.time()
        sender.close()
    assert sender.sent >= 10
    assert all(len(datagram.times) == 15 for datagram in datagrams)
    steps = np.diff(np.concatenate([datagram.times for datagram in datagrams])) * 650.0
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)
    within = [np.diff(datagram.times) for datagram in datagrams]
    np.testing.assert_allclose(within, 1 / 650.0, atol=1e-6)
    for datagram in datagrams:
        assert (datagram.send_times == datagram.send_times[0]).all()
        assert datagram.send_times[0] >= datagram.times[-1] - 0.001  # once the last is there
        assert datagram.send_times[0] - skew <= received
        force, _ = oct_samples(datagram.times - skew)
        np.testing.assert_allclose(datagram.force, force, atol=1e-5)


def test_sensor_datagrams_may_be_smaller() -> None:
    with udp_receiver() as receiver:
        port = receiver.getsockname()[1]
        sent: list[SensorDatagram] = []
        sender = SensorSender(SensorConfig(port=port, samples_per_datagram=4), sent.append)
        sender.send(time.time())
        datagram = SensorDatagram.unpack(receiver.recv(65536))
        sender.close()
    assert len(sent) == 1
    np.testing.assert_array_equal(datagram.times, sent[0].times)
    np.testing.assert_array_equal(datagram.ascan, sent[0].ascan)


@pytest.mark.parametrize("count", [0, 16])
def test_datagrams_that_do_not_fit_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="not 1 to 15"):
        SensorSender(SensorConfig(samples_per_datagram=count))


def test_robot_and_sensor_agree_with_the_needle() -> None:
    t = 1_700_000_008.0
    force, _ = oct_samples(np.array([t]))
    assert needle_depth(t) > 0.0
    np.testing.assert_allclose(robot_packet(t, t).force, force[0], rtol=1e-6)

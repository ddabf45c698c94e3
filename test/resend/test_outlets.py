from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from certificates import Certificate, allowing
from harness import free_port
from recorded import datagram, frame, packet
from wire_receivers import receiving

from vla_inference_ros.core.curve import (
    ClientKeys,
    ServerKeys,
    read_pair,
    read_public,
    secure_client,
    serving,
)
from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, SensorDatagram
from vla_inference_ros.resend import outlets
from vla_inference_ros.resend.outlets import (
    CameraOutlet,
    Outlet,
    OutletError,
    RobotOutlet,
    SensorOutlet,
)

SHORT = 0.2  # of patience, where it must run out [s]
LONG = 20.0  # where it must not
COUNT = 200


@contextmanager
def closing(outlet: Outlet) -> Iterator[Any]:
    try:
        yield outlet
    finally:
        outlet.close(at_once=True)


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    yield made
    made.destroy(linger=0)


def large_frame(number: int) -> CameraFrame:
    return CameraFrame("cam", float(number), bytes(1 << 20), 8, 8)


def send_until_it_fails(outlet: Outlet, packets: Callable[[int], Any]) -> tuple[int, str]:
    """How many were taken, and what was said then."""
    deadline = time.monotonic() + LONG
    for number in count():
        assert time.monotonic() < deadline
        try:
            outlet.send(packets(number))
        except OutletError as error:
            return number, str(error)
    raise AssertionError("count has an end")


def test_all_that_is_sent_comes_in_order() -> None:
    with receiving() as got:
        host, _, port = got.sensor.partition(":")
        camera, robot = CameraOutlet(got.camera), RobotOutlet(got.robot)
        sensor = SensorOutlet(host, int(port), in_step=True)
        for outlet in (camera, robot, sensor):
            assert outlet.await_receiver(LONG) == ""
        for number in range(COUNT):
            assert camera.send(frame(number)) == sum(map(len, frame(number).pack()))
            assert robot.send(packet(number)) == len("robot_state") + 68
            assert sensor.send(datagram(number)) == len(datagram(number).pack())
        for outlet in (camera, robot, sensor):
            outlet.close(at_once=False)
    assert got.frames == [frame(number).pack() for number in range(COUNT)]
    assert got.packets == [packet(number).pack() for number in range(COUNT)]
    assert got.datagrams == [datagram(number).pack() for number in range(COUNT)]


def test_a_receiver_that_comes_later_is_waited_for(context: zmq.Context[Any]) -> None:
    port = free_port(socket.SOCK_STREAM)
    pull = context.socket(zmq.PULL)
    with closing(CameraOutlet(f"tcp://127.0.0.1:{port}")) as outlet:
        assert "nobody listens for the cameras at tcp://127.0.0.1:" in outlet.await_receiver(0.0)
        late = threading.Timer(SHORT, pull.bind, [f"tcp://127.0.0.1:{port}"])
        late.start()
        assert outlet.await_receiver(LONG) == ""
        late.join()


def test_frames_wait_for_a_slow_receiver_and_not_for_ever(context: zmq.Context[Any]) -> None:
    pull = context.socket(zmq.PULL)
    pull.set(zmq.RCVHWM, 1)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    with closing(CameraOutlet(f"tcp://127.0.0.1:{port}", patience=SHORT)) as outlet:
        assert outlet.await_receiver(LONG) == ""
        sent, message = send_until_it_fails(outlet, large_frame)
        assert "has taken no frame for 0.2 s" in message
        for number in range(sent):  # all that was accepted is there
            assert pull.recv_multipart() == large_frame(number).pack()
        assert not pull.poll(0)
        outlet.send(large_frame(0))


def test_what_is_queued_at_the_end_still_goes_out(context: zmq.Context[Any]) -> None:
    pull = context.socket(zmq.PULL)
    pull.set(zmq.RCVHWM, 1)
    outlet = CameraOutlet(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
    assert outlet.await_receiver(LONG) == ""
    for number in range(25):
        outlet.send(large_frame(number))
    closer = threading.Thread(target=outlet.close, args=(False,))
    closer.start()
    for number in range(25):
        assert pull.recv_multipart() == large_frame(number).pack()
    closer.join()


def test_what_nobody_takes_at_the_end_is_told(
    context: zmq.Context[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlets, "_LINGER", SHORT)
    pull = context.socket(zmq.PULL)
    pull.set(zmq.RCVHWM, 1)
    outlet = CameraOutlet(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
    assert outlet.await_receiver(LONG) == ""
    for number in range(25):
        outlet.send(large_frame(number))
    with pytest.raises(OutletError, match=r"the frames for tcp\S+ were not all taken within 0\.2"):
        outlet.close(at_once=False)


def test_closing_at_once_waits_for_nobody() -> None:
    outlet = CameraOutlet(f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}")
    outlet.send(frame(0))
    began = time.monotonic()
    outlet.close(at_once=True)
    assert time.monotonic() - began < outlets._LINGER / 2


def test_a_host_that_is_none_is_named() -> None:
    with pytest.raises(OutletError, match="cannot send frames to tcp://nowhere: "):
        CameraOutlet("tcp://nowhere")
    with pytest.raises(OutletError, match=r"cannot send samples to no\.such\.host\.invalid:9999"):
        SensorOutlet("no.such.host.invalid", 9999)


def test_a_port_that_is_taken_is_named(context: zmq.Context[Any]) -> None:
    other = context.socket(zmq.PUB)
    port = other.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(OutletError, match=f"robot packets on tcp://127.0.0.1:{port}: .*in use"):
        RobotOutlet(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize("topic", [b"", b"robot", b"robot_state"])
def test_robot_packets_wait_for_one_who_wants_them(context: zmq.Context[Any], topic: bytes) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    sub = context.socket(zmq.SUB)
    with closing(RobotOutlet(endpoint)) as outlet:
        assert "nobody subscribes to robot packets on tcp" in outlet.await_receiver(0.0)
        sub.connect(endpoint)
        sub.set(zmq.SUBSCRIBE, b"something else")
        assert "nobody subscribes" in outlet.await_receiver(SHORT)
        sub.set(zmq.SUBSCRIBE, topic)
        assert outlet.await_receiver(LONG) == ""
        outlet.send(packet(0))
        assert sub.recv_multipart() == packet(0).pack()


def test_a_robot_bridge_that_leaves_is_waited_for_and_not_for_ever(
    context: zmq.Context[Any],
) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    first, second = context.socket(zmq.SUB), context.socket(zmq.SUB)
    with closing(RobotOutlet(endpoint, patience=LONG)) as outlet:
        first.connect(endpoint)
        first.set(zmq.SUBSCRIBE, b"")
        assert outlet.await_receiver(LONG) == ""
        first.close(linger=0)
        deadline = time.monotonic() + LONG
        while not outlet.await_receiver(0.0):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        second.connect(endpoint)
        second.set(zmq.SUBSCRIBE, b"")
        outlet.send(packet(1))  # waits for the second
        assert second.recv_multipart() == packet(1).pack()
        second.close(linger=0)
        outlet._patience = SHORT
        _, message = send_until_it_fails(outlet, packet)
        assert "any more, for 0.2 s: has the robot bridge ended" in message


def test_a_receiver_of_datagrams_on_this_host_is_waited_for() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        closing(SensorOutlet("127.0.0.1", port)) as outlet,
    ):
        missing = f"nobody listens for the sensor at UDP 127.0.0.1:{port}"
        assert outlet.await_receiver(0.0) == missing
        late = threading.Timer(SHORT, udp.bind, [("127.0.0.1", port)])
        late.start()
        assert outlet.await_receiver(LONG) == ""
        late.join()


def test_a_receiver_of_datagrams_that_has_left_is_told() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with closing(SensorOutlet("127.0.0.1", port)) as outlet:
        outlet.send(datagram(0))
        with pytest.raises(OutletError, match=f"nobody listens .* UDP 127.0.0.1:{port} any more"):
            outlet.send(datagram(1))


def test_in_step_a_small_buffer_overflows_never() -> None:
    got: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least: one datagram
        udp.bind(("127.0.0.1", 0))

        def read_slowly() -> None:
            for _ in range(50):
                time.sleep(0.002)
                got.append(udp.recv(65536))

        reader = threading.Thread(target=read_slowly)
        reader.start()
        with closing(SensorOutlet("127.0.0.1", udp.getsockname()[1], in_step=True)) as outlet:
            for number in range(50):
                outlet.send(datagram(number))
        reader.join()
    assert got == [datagram(number).pack() for number in range(50)]


def test_in_step_who_reads_nothing_is_told() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
        outlet = SensorOutlet("127.0.0.1", port, in_step=True, patience=SHORT)
        with closing(outlet):
            outlet.send(datagram(0))
            with pytest.raises(OutletError, match=r"has read nothing for 0\.2 s"):
                outlet.send(datagram(1))


@pytest.mark.parametrize(("size", "points"), [(16, ASCAN_LENGTH), (3, 512)])
def test_what_fits_into_no_datagram_is_told(size: int, points: int) -> None:
    times = np.full(size, 1.7e9)
    ascan = np.zeros((size, points), np.float32)
    samples = SensorDatagram(times, times, ascan[:, 0], ascan)
    with (
        closing(SensorOutlet("127.0.0.1", 9)) as outlet,
        pytest.raises(OutletError, match=f"{size} samples of {points} points .* --streams"),
    ):
        outlet.send(samples)


def test_with_the_right_keys_encrypted_receivers_get_all(
    context: zmq.Context[Any], server: Certificate, client: Certificate, tmp_path: Path
) -> None:
    allowed = allowing(tmp_path / "clients", client)
    pull, sub = context.socket(zmq.PULL), context.socket(zmq.SUB)
    with serving(pull, ServerKeys(read_pair(server.secret), allowed)):
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        keys = ClientKeys(read_pair(client.secret), read_public(server.public))
        with closing(CameraOutlet(f"tcp://127.0.0.1:{port}", keys)) as outlet:
            assert outlet.await_receiver(LONG) == ""
            outlet.send(frame(0))
            assert pull.recv_multipart() == frame(0).pack()
    endpoint = f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}"
    robot = RobotOutlet(endpoint, ServerKeys(read_pair(server.secret), allowed))
    secure_client(sub, keys)
    sub.connect(endpoint)
    sub.set(zmq.SUBSCRIBE, b"")
    assert robot.await_receiver(LONG) == ""
    robot.send(packet(0))
    assert sub.recv_multipart() == packet(0).pack()
    robot.close(at_once=False)


def test_a_plain_sender_that_is_refused_is_told_so(
    context: zmq.Context[Any], server: Certificate
) -> None:
    pull = context.socket(zmq.PULL)
    with serving(pull, ServerKeys(read_pair(server.secret))):
        port = pull.bind_to_random_port("tcp://127.0.0.1")
        with closing(CameraOutlet(f"tcp://127.0.0.1:{port}")) as outlet:
            deadline = time.monotonic() + LONG
            while "refuses the cameras' connection" not in outlet.await_receiver(SHORT):
                assert time.monotonic() < deadline

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from vla_inference_ros.core.udp import Datagram, UdpReceiver
from vla_inference_ros.core.wire import MAX_SAMPLES_PER_DATAGRAM, SensorDatagram

TIMEOUT = 10.0  # s, until a datagram that was sent on this machine has failed to come
LARGEST = 65_507  # bytes, what UDP over IPv4 can carry

Send = Callable[[bytes], None]


def receiver_with(buffer_bytes: int, timeout: float = TIMEOUT) -> UdpReceiver:
    return UdpReceiver("127.0.0.1", 0, buffer_bytes, timeout)


@pytest.fixture
def receiver() -> Iterator[UdpReceiver]:
    receiver = receiver_with(1 << 20)
    yield receiver
    receiver.close()


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield sender


def received(receiver: UdpReceiver) -> Datagram:
    datagram = receiver.receive()
    assert datagram is not None
    return datagram


@pytest.mark.parametrize("size", [0, 1, 4 + 4120, 4 + 4120 * MAX_SAMPLES_PER_DATAGRAM, LARGEST])
def test_a_datagram_comes_whole(receiver: UdpReceiver, sender: socket.socket, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    sender.sendto(data, ("127.0.0.1", receiver.port))
    assert received(receiver).data == data


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
def test_a_datagram_says_where_it_comes_from(receiver: UdpReceiver, source: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(b"", ("127.0.0.1", receiver.port))
        assert received(receiver).source == source


def test_datagrams_come_in_order_and_apart(receiver: UdpReceiver, sender: socket.socket) -> None:
    for number in range(10):
        sender.sendto(bytes([number]), ("127.0.0.1", receiver.port))
    assert [received(receiver).data for _ in range(10)] == [bytes([n]) for n in range(10)]


def test_the_time_is_the_kernels_not_that_of_reading(
    receiver: UdpReceiver, sender: socket.socket
) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        before = time.time()
        sender.sendto(b"", ("127.0.0.1", receiver.port))
        after = time.time()
        time_received = received(receiver).receive_time
        assert before - 1e-3 <= time_received
        if time_received <= after:  # before it was read
            break
        assert time.monotonic() < deadline  # the kernel may take a while to begin with it


def test_nothing_in_time_is_none() -> None:
    receiver = receiver_with(65_536, timeout=0.01)
    try:
        assert receiver.receive() is None
    finally:
        receiver.close()


def test_what_the_kernel_dropped_is_counted_once(sender: socket.socket) -> None:
    receiver = receiver_with(65_536, timeout=0.1)
    address = ("127.0.0.1", receiver.port)
    sent, data = 200, bytes(4 + SensorDatagram.SAMPLE_SIZE)
    try:
        for _ in range(sent):
            sender.sendto(data, address)
        kept = 0
        while (datagram := receiver.receive()) is not None:
            assert datagram.dropped == 0  # these were in the buffer before it was full
            kept += 1
        assert 0 < kept < sent
        sender.sendto(data, address)
        assert received(receiver).dropped == sent - kept
        sender.sendto(data, address)
        assert received(receiver).dropped == 0

        for _ in range(sent):
            sender.sendto(data, address)
        kept = sum(1 for _ in iter(receiver.receive, None))
        sender.sendto(data, address)
        assert received(receiver).dropped == sent - kept
    finally:
        receiver.close()


def test_the_buffer_is_as_large_as_it_says(receiver: UdpReceiver) -> None:
    for wanted in (65_536, 1 << 20, 1 << 29):
        receiver = receiver_with(wanted)
        try:
            assert 0 < receiver.buffer_bytes <= wanted
        finally:
            receiver.close()


def test_a_port_in_use_is_an_error_and_leaves_no_socket_open(receiver: UdpReceiver) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)) as caught:
        UdpReceiver("127.0.0.1", receiver.port, 65_536, TIMEOUT)
    assert os.listdir("/proc/self/fd") == before
    assert caught.tb is not None  # which would have kept the socket alive


def test_an_address_that_is_not_ours_is_an_error() -> None:
    with pytest.raises(OSError, match=os.strerror(errno.EADDRNOTAVAIL)):
        UdpReceiver("192.0.2.1", 0, 65_536, TIMEOUT)


def test_closing_releases_the_port() -> None:
    first = receiver_with(65_536)
    port = first.port
    first.close()
    UdpReceiver("127.0.0.1", port, 65_536, TIMEOUT).close()

"""A ZMQ bridge's socket with hosts of IPv6, alone and beside those of IPv4."""

from __future__ import annotations

import socket
import threading

import pytest
import zmq
from harness import free_port
from ipv6 import HOSTS, LOOPBACK, needs_ipv6
from rclpy.node import Node
from zmq_ends import LIMIT, receiving, sending, wait_until

from vla_inference_ros.core import zmq_address
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import StartError
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver


@pytest.fixture
def port() -> int:
    return free_port(socket.SOCK_STREAM)


@pytest.mark.parametrize("host", HOSTS)
def test_a_socket_listens_on_an_address_and_names_who_sends(
    node: Node, port: int, host: str
) -> None:
    receiver = ZmqReceiver(zmq.PULL, Stream(node, "stream"), LIMIT, "the remedy")
    receiver.bind(host, port)
    stopping = threading.Event()
    with sending(zmq.PUSH) as push:
        zmq_address.connect(push, host, port)
        push.send(b"x")
        for parts in receiver.messages(stopping):
            assert parts == [b"x"]
            stopping.set()
    receiver.close()
    assert receiver.peer.address == host
    assert receiver.peer.port > 0
    assert str(receiver.peer) == f"[{host}]:{receiver.peer.port}"


@needs_ipv6
@pytest.mark.parametrize("host", ["*", "::", "[::]"])
def test_all_addresses_are_those_of_both_kinds(node: Node, port: int, host: str) -> None:
    receiver = ZmqReceiver(zmq.PULL, Stream(node, "stream"), LIMIT, "the remedy")
    receiver.bind(host, port)
    stopping, heard = threading.Event(), {}
    with sending(zmq.PUSH) as four, sending(zmq.PUSH) as six:
        zmq_address.connect(four, "127.0.0.1", port)
        zmq_address.connect(six, LOOPBACK, port)
        four.send(b"4")
        six.send(b"6")
        for (text,) in receiver.messages(stopping):
            heard[text] = receiver.peer
            if len(heard) == 2:
                stopping.set()
    receiver.close()
    assert {text: peer.address for text, peer in heard.items()} == {b"4": "127.0.0.1", b"6": "::1"}
    assert all(peer.port for peer in heard.values())


@pytest.mark.parametrize("host", [*HOSTS, pytest.param("[::1]", marks=needs_ipv6)])
def test_a_socket_connects_to_an_address_and_again_after_too_large_a_message(
    node: Node, port: int, host: str
) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"")
        receiver.connect(host, port)

    with receiving(node, zmq.SUB, start) as received, sending(zmq.PUB) as publisher:
        zmq_address.bind(publisher, host, port)
        wait_until(lambda: received.messages, repeat=lambda: publisher.send(b"before"))
        publisher.send(b"x" * (2 * LIMIT + 1))
        wait_until(lambda: [b"after"] in received.messages, repeat=lambda: publisher.send(b"after"))


def test_a_name_of_both_kinds_is_tried_by_ipv4(node: Node, port: int) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"")
        receiver.connect("localhost", port)

    with receiving(node, zmq.SUB, start) as received, sending(zmq.PUB) as publisher:
        publisher.bind(f"tcp://127.0.0.1:{port}")  # as the rig's senders do
        wait_until(lambda: received.messages, repeat=lambda: publisher.send(b"x"))


def test_a_name_without_an_address_is_told_of_and_found_once_it_has_one(
    node: Node, port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"")
        receiver.connect("localhost", port)

    def unknown(host: str, port: int) -> None:
        raise OSError("Temporary failure in name resolution")

    monkeypatch.setattr(zmq_address, "resolve", unknown)
    with receiving(node, zmq.SUB, start) as received, sending(zmq.PUB) as publisher:
        zmq_address.bind(publisher, "*", port)
        wait_until(lambda: received.messages, repeat=lambda: publisher.send(b"x"))
    said = "the host 'localhost' has no address now (Temporary failure in name resolution)"
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("host", ["", "*", "no host", "::g", "fe80::1%nosuch0", "fe80::1"])
def test_what_is_no_address_is_refused_in_one_line(node: Node, port: int, host: str) -> None:
    receiver = ZmqReceiver(zmq.SUB, Stream(node, "stream"), LIMIT, "the remedy")
    with pytest.raises(StartError, match="'host' and 'port': cannot connect to tcp://") as caught:
        receiver.connect(host, port)
    assert "\n" not in str(caught.value)


def test_an_address_of_another_host_is_refused_in_one_line(node: Node, port: int) -> None:
    receiver = ZmqReceiver(zmq.PULL, Stream(node, "stream"), LIMIT, "the remedy")
    with pytest.raises(StartError, match=r"'bind_address' and 'port': .* tcp://\[2001:db8::1\]:"):
        receiver.bind("2001:db8::1", port)

"""A ZMQ bridge's socket once it is up: messages, their limits, connections, encryption."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq
from certificates import Certificate
from harness import free_port
from rclpy.node import Node
from zmq_ends import LIMIT, receiving, sending, wait_until

from vla_inference_ros.core.curve import (
    ClientKeys,
    ServerKeys,
    read_pair,
    read_public,
    secure_client,
    serving,
)
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.zmq_socket import MOST_PARTS, Peer, ZmqReceiver

ENDED = "a connection has ended"
REFUSED = "a connection failed before any message"


@pytest.fixture
def port() -> int:
    return free_port(socket.SOCK_STREAM)


@contextmanager
def pushing(port: int, keys: ClientKeys | None = None) -> Iterator[zmq.Socket[bytes]]:
    with sending(zmq.PUSH) as push:
        if keys is not None:
            secure_client(push, keys)
        push.connect(f"tcp://127.0.0.1:{port}")
        yield push


class Log:
    """What the node has logged."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self._text = ""

    def count(self, text: str) -> int:
        self._text += self._capfd.readouterr().err
        return self._text.count(text)


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Log:
    return Log(capfd)


def test_messages_come_in_order_with_all_their_parts(node: Node, port: int) -> None:
    sent = [[b"%d" % number, b"", b"x" * number] for number in range(100)]
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        pushing(port) as push,
    ):
        for parts in sent:
            push.send_multipart(parts)
        wait_until(lambda: len(received.messages) == len(sent))
        assert received.messages == sent


def test_a_message_says_where_it_comes_from(node: Node, port: int) -> None:
    stream = Stream(node, "stream")
    receiver = ZmqReceiver(zmq.PULL, stream, LIMIT, "the remedy")
    receiver.bind("127.0.0.1", port)
    stopping = threading.Event()
    with sending(zmq.PUSH) as first, sending(zmq.PUSH) as second, sending(zmq.PUSH) as far:
        for push, address in ((first, "127.0.0.1"), (second, "127.0.0.1"), (far, "127.0.0.7")):
            push.connect(f"tcp://{address}:0;127.0.0.1:{port}")
        for push, text in ((first, b"first"), (second, b"second"), (far, b"far")) * 3:
            push.send(text)
        peers: dict[bytes, set[Peer]] = {b"first": set(), b"second": set(), b"far": set()}
        for number, (text,) in enumerate(receiver.messages(stopping), start=1):
            peers[text].add(receiver.peer)
            if number == 9:
                stopping.set()
    receiver.close()
    (one,), (two,), (three,) = peers.values()
    assert (one.address, two.address, three.address) == ("127.0.0.1", "127.0.0.1", "127.0.0.7")
    assert len({one.connection, two.connection, three.connection}) == 3
    assert len({one.port, two.port}) == 2
    assert str(three) == f"127.0.0.7:{three.port}"
    assert min(one.port, two.port, three.port) > 0


def test_a_subscriber_gets_its_topic(node: Node, port: int) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"robot")
        receiver.connect("127.0.0.1", port)

    with receiving(node, zmq.SUB, start) as received, sending(zmq.PUB) as publisher:
        publisher.bind(f"tcp://127.0.0.1:{port}")

        def publish() -> None:
            publisher.send_multipart([b"other", b"1"])
            publisher.send_multipart([b"robot", b"2"])

        wait_until(lambda: received.messages, repeat=publish)
    assert {tuple(parts) for parts in received.messages} == {(b"robot", b"2")}


def test_parts_beyond_the_most_are_thrown_away(node: Node, port: int) -> None:
    parts = [b"%d" % number for number in range(1000)]
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        pushing(port) as push,
    ):
        push.send_multipart(parts)
        push.send_multipart([b"next"])
        wait_until(lambda: len(received.messages) == 2)
        assert received.messages == [parts[:MOST_PARTS], [b"next"]]
        assert not received.problems


@pytest.mark.parametrize("place", [0, 1, MOST_PARTS + 1])
def test_a_message_with_too_large_a_part_is_counted_and_the_next_one_comes(
    place: int, node: Node, port: int, log: Log
) -> None:
    fits, too_large = ([b""] * place + [b"x" * size, b""] for size in (LIMIT, LIMIT + 1))
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        pushing(port) as push,
    ):
        for parts in (too_large, fits, too_large, [b"last"]):
            push.send_multipart(parts)
        wait_until(lambda: len(received.messages) == 2)
        assert received.messages == [fits[:MOST_PARTS], [b"last"]]
        assert received.problems == {"message too large": 2}
        assert log.count(f"a part of {LIMIT + 1} bytes, over the limit of {LIMIT}: the remedy") == 1


def test_the_clean_end_of_the_other_side_is_no_warning(node: Node, port: int, log: Log) -> None:
    with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received:
        with pushing(port) as push:
            push.send(b"last")
            wait_until(lambda: received.messages)
        wait_until(lambda: log.count(f"{ENDED}, by the other side"))
        assert not log.count(f"{ENDED}: ")
        assert not log.count("[WARN]")


def test_a_part_of_more_than_twice_the_limit_ends_its_connection_alone(
    node: Node, port: int, log: Log
) -> None:
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        pushing(port) as good,
        pushing(port) as bad,
    ):
        good.send(b"before")
        bad.send(b"x" * (2 * LIMIT + 1))
        wait_until(lambda: log.count(f"{ENDED}: by the other side, or over a message of more than"))
        good.send(b"after")
        wait_until(lambda: len(received.messages) == 2)
        assert received.messages == [[b"before"], [b"after"]]
        assert not received.problems


def test_a_connection_of_ours_is_made_again_after_too_large_a_message(
    node: Node, port: int
) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"")
        receiver.connect("127.0.0.1", port)

    with receiving(node, zmq.SUB, start) as received, sending(zmq.PUB) as publisher:
        publisher.bind(f"tcp://127.0.0.1:{port}")
        wait_until(lambda: received.messages, repeat=lambda: publisher.send(b"before"))
        for _ in range(2):
            publisher.send(b"x" * (2 * LIMIT + 1))
            received.messages.clear()
            publisher.send(b"lost")
            wait_until(
                lambda: [b"after"] in received.messages, repeat=lambda: publisher.send(b"after")
            )
            assert [b"lost"] not in received.messages


def test_only_senders_with_keys_get_through_an_encrypted_socket(
    node: Node, port: int, server: Certificate, client: Certificate, log: Log
) -> None:
    keys = ServerKeys(read_pair(server.secret))
    own = read_pair(client.secret)
    with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port, keys)) as received:
        with pushing(port) as plain:
            plain.send(b"plain")
            wait_until(lambda: log.count(f"{REFUSED}: do both sides use CURVE"))
        with (
            pushing(port, ClientKeys(own, own.public)) as wrong,
            pushing(port, ClientKeys(own, read_public(server.public))) as right,
        ):
            wrong.send(b"wrong")
            right.send(b"right")
            wait_until(lambda: received.messages)
            assert received.messages == [[b"right"]]
            assert not log.count(ENDED)  # of those that never were


def test_an_encrypted_sender_is_told_of_by_a_plain_socket(
    node: Node, port: int, server: Certificate, client: Certificate, log: Log
) -> None:
    keys = ClientKeys(read_pair(client.secret), read_public(server.public))
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        pushing(port, keys) as push,
    ):
        push.send(b"encrypted")
        wait_until(lambda: log.count(f"{REFUSED}: does the other side use CURVE"))
        assert not received.messages


def test_an_encrypted_connection_of_ours_comes_about_once_the_other_side_is_right(
    node: Node, port: int, server: Certificate, client: Certificate, log: Log
) -> None:
    def start(receiver: ZmqReceiver) -> None:
        receiver.subscribe(b"")
        keys = ClientKeys(read_pair(client.secret), read_public(server.public))
        receiver.connect("127.0.0.1", port, keys)

    with receiving(node, zmq.SUB, start) as received:
        with sending(zmq.PUB) as plain:
            plain.bind(f"tcp://127.0.0.1:{port}")
            wait_until(lambda: log.count(REFUSED), repeat=lambda: plain.send(b"plain"))
        with (
            sending(zmq.PUB) as encrypted,
            serving(encrypted, ServerKeys(read_pair(server.secret))),
        ):
            encrypted.bind(f"tcp://127.0.0.1:{port}")
            wait_until(lambda: received.messages, repeat=lambda: encrypted.send(b"encrypted"))
    assert {tuple(parts) for parts in received.messages} == {(b"encrypted",)}


def test_closing_releases_the_port(node: Node, port: int) -> None:
    for _ in range(2):
        with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)):
            pass

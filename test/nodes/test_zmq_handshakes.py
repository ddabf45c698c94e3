"""A sender with another ZMQ socket type is told of as that, and nothing else is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
import zmq
from certificates import Certificate
from harness import free_port
from rclpy.node import Node
from zmq_ends import TIMEOUT, Received, receiving, sending, wait_until

from vla_inference_ros.core.curve import (
    ClientKeys,
    ServerKeys,
    read_pair,
    read_public,
    secure_client,
)
from vla_inference_ros.core.troubles import WRONG_SOCKET
from vla_inference_ros.nodes.zmq_handshakes import Handshakes

Repeat = Callable[[], None]
NO_PUSH = [zmq.PUB, zmq.DEALER, zmq.REQ, zmq.PULL]
NO_PUB = [zmq.PUSH, zmq.REP]
FAILED = "refused connection"
NOT_PUSH = "the other side's ZMQ socket is not PUSH, the type that goes with PULL here"
NOT_PUB = "the other side's ZMQ socket is not PUB, the type that goes with SUB here"


@pytest.fixture
def port() -> int:
    return free_port(socket.SOCK_STREAM)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[str], int]:
    """How often the node has logged a text."""
    text = ""

    def count(what: str) -> int:
        nonlocal text
        text += capfd.readouterr().err
        return text.count(what)

    return count


def told(received: Received) -> bool:
    return WRONG_SOCKET in received.stream.troubles.current()


@contextmanager
def again_and_again(kind: int, port: int, keys: ClientKeys | None = None) -> Iterator[Repeat]:
    """Has a new socket connect each time that it is called: where the sender's side is the first to
    end the connection, libzmq says here only that it failed.
    """
    with zmq.Context() as context, ExitStack() as stack:

        def connect() -> None:
            wrong = stack.enter_context(context.socket(kind))
            wrong.set(zmq.LINGER, 0)
            if keys is not None:
                secure_client(wrong, keys)
            wrong.connect(f"tcp://127.0.0.1:{port}")

        yield connect


def subscribed(port: int) -> Callable[..., None]:
    def start(receiver: object) -> None:
        receiver.subscribe(b"")  # type: ignore[attr-defined]
        receiver.connect("127.0.0.1", port)  # type: ignore[attr-defined]

    return start


@pytest.mark.parametrize("kind", NO_PUSH, ids=lambda kind: kind.name)
def test_a_camera_sender_of_another_type_is_told_of_and_the_next_one_comes(
    kind: zmq.SocketType, node: Node, port: int, said: Callable[[str], int]
) -> None:
    with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received:
        with again_and_again(kind, port) as send_wrongly:
            wait_until(lambda: told(received), repeat=send_wrongly)
        assert set(received.problems) <= {WRONG_SOCKET, FAILED}
        with sending(zmq.PUSH) as push:
            push.connect(f"tcp://127.0.0.1:{port}")
            push.send(b"x")
            wait_until(lambda: received.messages and not told(received))
        assert (
            1 <= said(f"{NOT_PUSH}, or it does not speak ZMQ. Make the sender's socket PUSH") <= 5
        )


@pytest.mark.parametrize("kind", NO_PUB, ids=lambda kind: kind.name)
def test_a_robots_host_of_another_type_is_told_of_until_it_is_right(
    kind: zmq.SocketType, node: Node, port: int, said: Callable[[str], int]
) -> None:
    with receiving(node, zmq.SUB, subscribed(port)) as received:
        with sending(kind) as wrong:
            wrong.bind(f"tcp://127.0.0.1:{port}")
            wait_until(lambda: received.problems.get(WRONG_SOCKET, 0) >= 2)  # it tries again
            assert told(received)
        with sending(zmq.PUB) as publisher:
            publisher.bind(f"tcp://127.0.0.1:{port}")
            wait_until(
                lambda: received.messages and not told(received),
                repeat=lambda: publisher.send(b"x"),
            )
        assert said(f"a connection to tcp://127.0.0.1:{port} was refused: {NOT_PUB}") == 1


def test_it_is_told_of_an_encrypted_sender_too(
    node: Node,
    port: int,
    server: Certificate,
    client: Certificate,
    said: Callable[[str], int],
) -> None:
    keys = ServerKeys(read_pair(server.secret))
    own = ClientKeys(read_pair(client.secret), read_public(server.public))
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port, keys)) as received,
        again_and_again(zmq.PUB, port, own) as send_wrongly,
    ):
        wait_until(lambda: told(received), repeat=send_wrongly)
        assert said(NOT_PUSH)


def test_among_good_senders_the_wrong_ones_alone_are_counted(
    node: Node, port: int, said: Callable[[str], int]
) -> None:
    with (
        receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received,
        ExitStack() as stack,
    ):
        kinds = [zmq.PUSH, zmq.PUB] * 5
        senders = [stack.enter_context(sending(kind)) for kind in kinds]
        for sender in senders:
            sender.connect(f"tcp://127.0.0.1:{port}")
        for sender in senders[::2]:
            sender.send(b"x")
        wait_until(lambda: len(received.messages) == 5 and sum(received.problems.values()) >= 5)
        for sender in senders[::2]:  # ends as any sender does
            sender.close()
        wait_until(lambda: said("a connection has ended"))
    assert set(received.problems) <= {WRONG_SOCKET, FAILED}


def test_a_sender_that_says_nothing_and_ends_is_none_of_a_wrong_type(
    node: Node, port: int, said: Callable[[str], int]
) -> None:
    with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received:
        with sending(zmq.PUSH) as push:
            push.set(zmq.IMMEDIATE, 1)  # nothing can be sent before the two have agreed
            push.connect(f"tcp://127.0.0.1:{port}")
            assert push.poll(round(1000 * TIMEOUT), zmq.POLLOUT)
        wait_until(lambda: said("a connection has ended"))
        assert not received.problems


def test_what_is_no_zmq_is_told_of(node: Node, port: int, said: Callable[[str], int]) -> None:
    with receiving(node, zmq.PULL, lambda r: r.bind("127.0.0.1", port)) as received:
        with socket.create_connection(("127.0.0.1", port)) as other:
            other.sendall(b"GET / HTTP/1.1\r\n\r\n")
        wait_until(lambda: said("a connection failed before any message"))
        assert received.problems == {FAILED: 1}


# --- the account of connections


def test_who_ends_after_it_agreed_fits() -> None:
    account = Handshakes()
    account.begin(5, 0.0)
    account.agree()
    account.end(5, 0.01, failed=False)
    assert account.judge(0.01) == [False]
    account.begin(5, 1.0)  # the same number again
    account.end(5, 1.01, failed=False)
    assert account.judge(1.01) == [True]
    account.end(6, 1.0, failed=False)  # one that began before all this
    assert account.judge(1.01) == [False]
    account.begin(5, 1.0)
    account.end(5, 1.0, failed=True)  # which is told already
    assert account.judge(9.0) == []


def test_of_several_the_one_that_ends_at_once_is_the_one_that_does_not_fit() -> None:
    account = Handshakes()
    account.begin(5, 0.0)
    account.begin(6, 0.0)
    account.agree()
    account.end(6, 0.1, failed=False)
    assert account.judge(0.2) == []  # perhaps 5 has not agreed yet
    assert account.judge(1.2) == [True]
    account.end(5, 100.0, failed=False)
    assert account.judge(100.0) == [False]


def test_who_sends_too_much_at_once_fits() -> None:
    """Beside one that begins at the same time."""
    account = Handshakes()
    account.begin(5, 0.0)
    account.begin(6, 0.0)
    account.agree()
    account.end(6, 0.1, failed=False)
    assert account.judge(0.1) == []
    account.agree()
    assert account.judge(0.2) == [False]


def test_a_message_may_be_read_before_the_agreement() -> None:
    account = Handshakes()
    account.begin(5, 0.0)
    account.hear(5)
    account.begin(6, 0.0)
    account.agree()  # of the first
    account.end(6, 0.1, failed=False)
    account.end(5, 0.2, failed=False)
    assert account.judge(0.2) == [True, False]


def test_beside_one_that_never_says_anything_others_fit() -> None:
    account = Handshakes()
    account.begin(4, 0.0)  # a TCP connection and no more
    account.begin(5, 0.0)
    account.agree()
    account.end(5, 20.0, failed=False)
    assert account.judge(22.0) == [False]
    account.begin(5, 22.0)
    account.agree()
    account.hear(5)
    account.end(5, 22.1, failed=False)
    assert account.judge(22.1) == [False]
    account.end(4, 30.0, failed=True)
    account.begin(5, 31.0)
    account.end(5, 31.1, failed=False)
    assert account.judge(31.1) == [True]

"""Both ends of a ZMQ bridge's socket: one that is read by a thread, and plain ones that send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import zmq
from rclpy.node import Node

from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.zmq_socket import ZmqReceiver

TIMEOUT = 20.0  # s, until what should come at once has failed to
LIMIT = 1000  # bytes


@dataclass
class Received:
    """What a receiver's thread has taken in."""

    receiver: ZmqReceiver
    stream: Stream
    messages: list[list[bytes]]

    @property
    def problems(self) -> dict[str, int]:
        return self.stream.tally.read().problems


@contextmanager
def receiving(node: Node, kind: int, start: Callable[[ZmqReceiver], None]) -> Iterator[Received]:
    """A receiver that ``start`` binds or connects, read by a thread."""
    stream = Stream(node, "stream")
    received = Received(ZmqReceiver(kind, stream, LIMIT, "the remedy"), stream, [])
    start(received.receiver)
    stopping = threading.Event()

    def read() -> None:
        received.messages.extend(received.receiver.messages(stopping))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield received
    finally:
        stopping.set()
        thread.join(TIMEOUT)
        received.receiver.close()
        assert not thread.is_alive()


@contextmanager
def sending(kind: int) -> Iterator[zmq.Socket[bytes]]:
    """A socket that is yet to bind or connect."""
    with zmq.Context() as context, context.socket(kind) as sender:
        sender.set(zmq.LINGER, 0)
        yield sender


def wait_until(
    condition: Callable[[], object], repeat: Callable[[], object] = lambda: None
) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for has not come about"
        repeat()
        time.sleep(0.02)

"""What the two ZMQ bridges share: binding and connecting with clear errors, and receiving."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import zmq

from vla_inference_ros.nodes.vla_node import StartError

_TIMEOUT_MS = 100  # how often a socket thread looks whether it should stop


def bind(socket: zmq.Socket[bytes], address: str, port: int) -> None:
    """Bind to a TCP port; StartError says which parameter is at fault."""
    endpoint = f"tcp://{address}:{port}"
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise StartError(
            f"parameters 'bind_address' and 'port': cannot listen on {endpoint}: {error}. "
            f"Does another program, or an earlier run, hold port {port}?"
        ) from error


def connect(socket: zmq.Socket[bytes], host: str, port: int) -> None:
    """Connect to a TCP port, now or whenever it appears; StartError if that is no address."""
    endpoint = f"tcp://{host}:{port}"
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        raise StartError(
            f"parameters 'host' and 'port': cannot connect to {endpoint}: {error}"
        ) from error


def messages(socket: zmq.Socket[bytes], stopping: threading.Event) -> Iterator[list[bytes]]:
    """The parts of each message that comes, until ``stopping`` is set."""
    socket.setsockopt(zmq.RCVTIMEO, _TIMEOUT_MS)
    while not stopping.is_set():
        try:
            parts = socket.recv_multipart()
        except zmq.Again:
            continue
        yield parts

"""What the two ZMQ bridges share: binding and connecting with clear errors."""

from __future__ import annotations

import zmq

from vla_inference_ros.nodes.vla_node import StartError

POLL_MS = 100  # how often a socket thread looks whether it should stop


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

"""Plain sockets in the place of the three bridges, with what came to them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import zmq
from harness import free_port

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import resolve, with_port
from vla_inference_ros.core.wire import ROBOT_TOPIC

_TIMEOUT_MS = 100  # how often it is looked whether to stop


@dataclass
class Receivers:
    """Takes everything until the end; the order is that of each socket."""

    frames: list[list[bytes]] = field(default_factory=list)
    packets: list[list[bytes]] = field(default_factory=list)
    datagrams: list[bytes] = field(default_factory=list)
    camera: str = ""
    robot: str = ""
    sensor: str = ""

    @property
    def arguments(self) -> list[str]:
        """Where they are, for the command."""
        return ["--camera", self.camera, "--robot", self.robot, "--sensor", self.sensor]


@contextmanager
def receiving(host: str = "127.0.0.1") -> Iterator[Receivers]:
    """Sockets of a host that take what is sent, and at the end also what is still on its way."""
    robot_port = free_port(socket.SOCK_STREAM)
    got = Receivers(robot=zmq_address.endpoint(host, robot_port))
    context: zmq.Context[Any] = zmq.Context()
    stopping = threading.Event()
    pull, sub = context.socket(zmq.PULL), context.socket(zmq.SUB)
    zmq_address.bind(pull, host, 0)
    got.camera = pull.get_string(zmq.LAST_ENDPOINT)
    sub.set(zmq.RECONNECT_IVL, 10)
    zmq_address.connect(sub, host, robot_port)
    sub.set(zmq.SUBSCRIBE, ROBOT_TOPIC)
    family, own = resolve(host, 0)
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind(own)
    udp.settimeout(_TIMEOUT_MS / 1000)
    got.sensor = with_port(host, udp.getsockname()[1])

    def take(from_socket: Any, into: list[list[bytes]]) -> None:
        is_over = False
        while not is_over:
            is_over = stopping.is_set()  # looked at before, so that the last is taken
            while from_socket.poll(_TIMEOUT_MS):
                into.append(from_socket.recv_multipart())

    def take_datagrams() -> None:
        is_over = False
        while not is_over:
            is_over = stopping.is_set()
            try:
                while True:
                    got.datagrams.append(udp.recv(65536))
            except TimeoutError:
                continue

    threads = [
        threading.Thread(target=take, args=(pull, got.frames)),
        threading.Thread(target=take, args=(sub, got.packets)),
        threading.Thread(target=take_datagrams),
    ]
    for thread in threads:
        thread.start()
    try:
        yield got
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
        udp.close()
        context.destroy(linger=0)

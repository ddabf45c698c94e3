"""The sockets that recorded packets are sent from: as the rig's senders, but nothing is dropped.

Owns who is there to receive, and what is done where nobody takes what is sent. Does not own what is
sent when. Each outlet belongs to one thread.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import zmq
from zmq.utils.monitor import recv_monitor_message

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import resolve, with_port
from vla_inference_ros.core.curve import ClientKeys, ServerKeys, secure_client, serving
from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    MAX_SAMPLES_PER_DATAGRAM,
    ROBOT_TOPIC,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
)

PATIENCE = 10.0  # with a receiver that takes nothing, once there was one [s]
_FRAMES_QUEUED = 30
_LINGER = 10.0  # until what was sent must have left [s]
# Linux's lists of UDP sockets, of this network namespace.
_UDP_TABLES = (Path("/proc/net/udp"), Path("/proc/net/udp6"))
_LOOK_PERIOD = 0.05  # how often it is looked whether somebody listens by UDP [s]
_QUEUE_PERIOD = 0.0002  # how often it is looked whether a receiver has read everything [s]
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
_REFUSED |= zmq.EVENT_HANDSHAKE_FAILED_AUTH


class OutletError(Exception):
    """Nobody takes what is sent, or it cannot be sent; the message says which and what to do."""


class Outlet(Protocol):
    """One sender's socket."""

    def await_receiver(self, patience: float) -> str:
        """Wait for a receiver, up to ``patience`` [s]; '' once there is one, or who is missing."""

    def send(self, packet: Any) -> int:
        """Send a packet, and wait for room if there is none; its size [bytes]. OutletError."""

    def close(self, at_once: bool) -> None:
        """Send what is still queued, unless it is to be ``at_once``. OutletError if it is not
        taken.
        """


class CameraOutlet:
    """All cameras: one ZMQ PUSH socket that connects to ``endpoint``."""

    def __init__(
        self, endpoint: str, keys: ClientKeys | None = None, patience: float = PATIENCE
    ) -> None:
        """``patience`` [s] is how long a receiver may take nothing. OutletError if it is no
        address.
        """
        self._endpoint, self._patience = endpoint, patience
        with ExitStack() as stack:
            self._socket = _zmq_socket(stack, zmq.PUSH)
            self._socket.set(zmq.SNDHWM, _FRAMES_QUEUED)
            self._socket.set(zmq.SNDTIMEO, round(patience * 1000))
            if keys is not None:
                secure_client(self._socket, keys)
            # Of a socket of another type libzmq tells only that its connection has ended.
            events = zmq.EVENT_HANDSHAKE_SUCCEEDED | _REFUSED | zmq.EVENT_DISCONNECTED
            self._monitor = self._socket.get_monitor_socket(events)
            try:
                zmq_address.connect(self._socket, *zmq_address.host_and_port(endpoint))
            except (ValueError, zmq.ZMQError) as error:
                raise OutletError(f"cannot send frames to {endpoint}: {error}") from error
            self._resources = stack.pop_all()

    def await_receiver(self, patience: float) -> str:
        """Wait until the connection stands."""
        was_refused = False
        deadline = time.monotonic() + patience
        while self._monitor.poll(_milliseconds_to(deadline)):
            if recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                return ""
            was_refused = True
        if was_refused:
            return (
                f"who listens at {self._endpoint} refuses the cameras' connection (does one side "
                "use CURVE, or other keys? Is it a ZMQ socket of type PULL?)"
            )
        return f"nobody listens for the cameras at {self._endpoint}"

    def send(self, packet: CameraFrame) -> int:
        """Wait while the receiver has too many frames waiting."""
        parts = packet.pack()
        try:
            self._socket.send_multipart(parts, copy=False)
        except zmq.Again:
            raise OutletError(
                f"{self._endpoint} has taken no frame for {self._patience:g} s: has the camera "
                "bridge ended?"
            ) from None
        return sum(map(len, parts))

    def close(self, at_once: bool) -> None:
        """Send what is still queued."""
        _let_go(self._socket, self._resources, at_once, f"the frames for {self._endpoint}")


class RobotOutlet:
    """The robot's host: one ZMQ PUB socket that binds to ``endpoint``."""

    def __init__(
        self, endpoint: str, keys: ServerKeys | None = None, patience: float = PATIENCE
    ) -> None:
        """``patience`` [s] is how long nobody may listen. OutletError if it cannot be bound."""
        self._endpoint, self._patience = endpoint, patience
        self._subscriptions: set[bytes] = set()
        with ExitStack() as stack:
            # XPUB is PUB, but tells who listens.
            self._socket = _zmq_socket(stack, zmq.XPUB)
            self._socket.set(zmq.SNDHWM, 0)  # no limit: PUB drops what is over it
            if keys is not None:
                stack.enter_context(serving(self._socket, keys))
            try:
                zmq_address.bind(self._socket, *zmq_address.host_and_port(endpoint))
            except (ValueError, zmq.ZMQError) as error:
                raise OutletError(
                    f"cannot publish robot packets on {endpoint}: {error}. Is a robot's host, or a "
                    "simulated one, running here already?"
                ) from error
            self._resources = stack.pop_all()

    def await_receiver(self, patience: float) -> str:
        """Wait until somebody subscribes."""
        deadline = time.monotonic() + patience
        self._note_subscriptions(0)
        while not self._is_heard():
            if not self._note_subscriptions(_milliseconds_to(deadline)):
                return f"nobody subscribes to robot packets on {self._endpoint}"
        return ""

    def send(self, packet: RobotPacket) -> int:
        """Wait while nobody listens."""
        missing = self.await_receiver(self._patience)
        if missing:
            raise OutletError(
                f"{missing} any more, for {self._patience:g} s: has the robot bridge ended?"
            )
        parts = packet.pack()
        self._socket.send_multipart(parts)
        return sum(map(len, parts))

    def close(self, at_once: bool) -> None:
        """Send what is still queued."""
        _let_go(self._socket, self._resources, at_once, f"the packets on {self._endpoint}")

    def _is_heard(self) -> bool:
        return any(ROBOT_TOPIC.startswith(topic) for topic in self._subscriptions)

    def _note_subscriptions(self, timeout: int) -> bool:
        """Whether there was news in ``timeout`` [ms]."""
        is_news = False
        while self._socket.poll(0 if is_news else timeout):
            is_news = True
            message = self._socket.recv()
            change = (
                self._subscriptions.add if message[:1] == b"\1" else self._subscriptions.discard
            )
            change(message[1:])
        return is_news


class SensorOutlet:
    """The sensor's host: one UDP socket that sends to ``host``:``port``.

    UDP tells little of who listens. On this host it is looked up; on another one it shows only when
    that refuses the first datagram.
    """

    def __init__(
        self, host: str, port: int, in_step: bool = False, patience: float = PATIENCE
    ) -> None:
        """With ``in_step`` a receiver on this host gets a datagram when it has read the one before.
        ``patience`` [s] is how long one may have to wait. OutletError if there is no such host.
        """
        self._to, self._port = with_port(host, port), port
        self._patience, self._in_step = patience, in_step
        try:
            family, address = resolve(host, port)
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise OutletError(f"cannot send samples to {self._to}: {error}") from error
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise OutletError(f"cannot send samples to {self._to}: {error}") from error
        self._socket.settimeout(patience)
        is_here = self._socket.getsockname()[0] == self._socket.getpeername()[0]
        self._is_seen = is_here and _UDP_TABLES[0].exists()

    def await_receiver(self, patience: float) -> str:
        """Wait until somebody listens, if that can be seen."""
        deadline = time.monotonic() + patience
        while self._is_seen and not list(unread_bytes(self._port)):
            if time.monotonic() >= deadline:
                return f"nobody listens for the sensor at UDP {self._to}"
            time.sleep(_LOOK_PERIOD)
        return ""

    def send(self, packet: SensorDatagram) -> int:
        """Wait while there is no room for it."""
        count, points = packet.ascan.shape
        if points != ASCAN_LENGTH or count > MAX_SAMPLES_PER_DATAGRAM:
            raise OutletError(
                f"{count} samples of {points} points were recorded as one datagram, which takes "
                f"{MAX_SAMPLES_PER_DATAGRAM} of {ASCAN_LENGTH}: leave the sensor out with --streams"
            )
        if self._in_step and self._is_seen:
            self._await_empty_queue()
        data = packet.pack()
        try:
            self._socket.send(data)
        except ConnectionRefusedError:
            raise OutletError(
                f"nobody listens for the sensor at UDP {self._to} any more: has the sensor bridge "
                "ended?"
            ) from None
        except OSError as error:
            raise OutletError(f"cannot send samples to UDP {self._to}: {error}") from error
        return len(data)

    def close(self, at_once: bool) -> None:
        """Nothing is queued."""
        self._socket.close()

    def _await_empty_queue(self) -> None:
        deadline = time.monotonic() + self._patience
        while any(unread_bytes(self._port)):
            if time.monotonic() >= deadline:
                raise OutletError(
                    f"who listens at UDP {self._to} has read nothing for {self._patience:g} s"
                )
            time.sleep(_QUEUE_PERIOD)


def unread_bytes(port: int) -> Iterator[int]:
    """How much each socket that is bound to a UDP port has not read yet [bytes]."""
    tables = (
        table.read_text(encoding="utf-8") for table in _UDP_TABLES if table.exists()
    )  # perhaps no IPv6
    for line in (line for table in tables for line in table.splitlines()[1:]):
        cells = line.split()  # number, local and remote address, state, send:receive queue, ...
        if int(cells[1].rpartition(":")[2], 16) == port:
            yield int(cells[4].rpartition(":")[2], 16)


def _zmq_socket(stack: ExitStack, kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stack.callback(context.destroy, linger=0)
    return context.socket(kind)


def _let_go(made: zmq.Socket[bytes], resources: ExitStack, at_once: bool, what: str) -> None:
    """Close a socket once what it holds has left; OutletError if that takes too long."""
    began = time.monotonic()
    made.close(linger=0 if at_once else round(_LINGER * 1000))
    resources.close()  # returns when the socket is really closed
    if time.monotonic() - began >= _LINGER:
        raise OutletError(f"{what} were not all taken within {_LINGER:g} s after the last")


def _milliseconds_to(deadline: float) -> int:
    return max(0, round((deadline - time.monotonic()) * 1000))

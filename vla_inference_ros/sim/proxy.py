"""Proxies between the three senders and the bridges, on real sockets, that do faults on the way.

Owns the sockets and the waiting. Does not own the faults. Each proxy belongs to one thread at a
time: ``run`` until its event is set, then ``close``. ``faults`` may be replaced and the counts
read from any thread.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from dataclasses import dataclass

import zmq

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import new_socket, resolve, to_listen_on, with_port
from vla_inference_ros.sim.faults import FaultCounts, FaultLine, Faults
from vla_inference_ros.sim.formats import (
    CameraFormat,
    Format,
    Packet,
    RobotFormat,
    SensorFormat,
)

_LOOK_PERIOD = 0.1  # how often a proxy looks whether it should stop [s]
_UDP_BUFFER = 4 << 20  # bytes that the kernel may hold for us; it gives less if it is limited
_MAX_DATAGRAM = 65536


@dataclass(frozen=True, slots=True)
class Route:
    """A proxy listens on ``bind_host``:``bind_port`` (0: any free) and talks to ``host``:``port``.

    Which of the two is the sender's side is the stream's matter. ``seed`` decides which packets
    suffer.
    """

    bind_host: str
    bind_port: int
    host: str
    port: int
    seed: int = 0


class Proxy(ABC):
    """One stream's proxy. ``dropped`` counts packets handed on that the socket had no room for.

    ``port`` is the one that it listens on.
    """

    def __init__(self, form: Format, seed: int) -> None:
        self.name = form.name
        self.port = 0
        self.dropped = 0
        self._line = FaultLine(form, seed)
        self._poller = zmq.Poller()
        self._resources = ExitStack()

    @property
    def faults(self) -> Faults:
        """What the packets suffer; replaced as a whole."""
        return self._line.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._line.faults = faults

    @property
    def counts(self) -> FaultCounts:
        """What has been done so far."""
        return self._line.counts

    def run(self, stop: threading.Event) -> None:
        """Pass packets on until ``stop`` is set."""
        while not stop.is_set():
            if self._poller.poll(self._wait_ms()):
                packet = self._receive()
                if packet is not None:
                    self._line.put(packet, time.monotonic())
            for packet in self._line.ready(time.monotonic()):
                if not self._send(packet):
                    self.dropped += 1

    def close(self) -> None:
        """Close the sockets; packets that still wait are lost."""
        self._resources.close()

    def _wait_ms(self) -> int:
        """Until the next packet is due, rounded up, lest the last part be spent without sleep."""
        due = self._line.next_due
        wait = _LOOK_PERIOD if due is None else min(due - time.monotonic(), _LOOK_PERIOD)
        return max(0, math.ceil(wait * 1e3))

    @abstractmethod
    def _receive(self) -> Packet | None:
        """The packet that has come; None if there is none after all."""

    @abstractmethod
    def _send(self, packet: Packet) -> bool:
        """Hand a packet to the socket, without waiting; whether it had room."""


class _ZmqProxy(Proxy):
    """A proxy between two ZMQ sockets."""

    _from: zmq.Socket[bytes]
    _to: zmq.Socket[bytes]

    def _open(self, stack: ExitStack, from_kind: int, to_kind: int) -> None:
        """Make the sockets, which ``stack`` closes."""
        context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
        self._from = stack.enter_context(context.socket(from_kind))
        self._to = stack.enter_context(context.socket(to_kind))
        self._from.set(zmq.LINGER, 0)
        self._to.set(zmq.LINGER, 0)
        self._poller.register(self._from, zmq.POLLIN)

    def _listen(self, end: zmq.Socket[bytes], route: Route) -> None:
        endpoint = zmq_address.endpoint(route.bind_host, route.bind_port)
        try:
            zmq_address.bind(end, route.bind_host, route.bind_port)
        except zmq.ZMQError as error:
            raise OSError(f"{self.name} proxy cannot listen on {endpoint}: {error}") from error
        self.port = int(end.get_string(zmq.LAST_ENDPOINT).rpartition(":")[2])

    def _connect(self, end: zmq.Socket[bytes], route: Route) -> None:
        endpoint = zmq_address.endpoint(route.host, route.port)
        try:
            zmq_address.connect(end, route.host, route.port)
        except zmq.ZMQError as error:
            raise OSError(f"{self.name} proxy cannot connect to {endpoint}: {error}") from error

    def _receive(self) -> Packet | None:
        try:
            return self._from.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None

    def _send(self, packet: Packet) -> bool:
        try:
            self._to.send_multipart(packet, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True


class CameraProxy(_ZmqProxy):
    """Cameras push to it; it pushes to the bridge. What the bridge does not take drops: beyond
    ``frames_queued`` of all cameras, and all while there is no bridge, unless it ``keeps`` them.
    """

    frames_queued = 20  # a bridge that is slower gets fresh frames, not a backlog
    keeps = False

    def __init__(self, route: Route) -> None:
        """``route.host`` is the bridge's; raises OSError."""
        super().__init__(CameraFormat(), route.seed)
        with ExitStack() as stack:
            self._open(stack, zmq.PULL, zmq.PUSH)
            self._from.set(zmq.RCVHWM, self.frames_queued)
            self._to.set(zmq.SNDHWM, self.frames_queued)
            self._to.set(zmq.IMMEDIATE, int(not self.keeps))
            self._listen(self._from, route)
            self._connect(self._to, route)
            self._resources = stack.pop_all()


class RobotProxy(_ZmqProxy):
    """It subscribes to the robot's host; the bridge subscribes to it."""

    def __init__(self, route: Route) -> None:
        """``route.host`` is the robot's; raises OSError."""
        super().__init__(RobotFormat(), route.seed)
        with ExitStack() as stack:
            self._open(stack, zmq.SUB, zmq.PUB)
            self._from.subscribe(b"")
            self._listen(self._to, route)
            self._connect(self._from, route)
            self._resources = stack.pop_all()


class SensorProxy(Proxy):
    """It takes the sensor's datagrams and sends them to the bridge."""

    def __init__(self, route: Route) -> None:
        """``route.host`` is the bridge's; raises OSError."""
        super().__init__(SensorFormat(), route.seed)
        try:
            family, self._bridge = resolve(route.host, route.port)
        except OSError as error:
            raise OSError(f"sensor proxy cannot find host {route.host!r}: {error}") from error
        with ExitStack() as stack:
            self._to = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            try:
                own_family, own = to_listen_on(route.bind_host, route.bind_port)
                self._from = stack.enter_context(new_socket(own_family, socket.SOCK_DGRAM))
                self._from.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_BUFFER)
                self._from.bind(own)
            except OSError as error:
                where = f"udp://{with_port(route.bind_host, route.bind_port)}"
                raise OSError(f"sensor proxy cannot listen on {where}: {error}") from error
            self._from.setblocking(False)
            self._to.setblocking(False)
            self.port = int(self._from.getsockname()[1])
            self._poller.register(self._from, zmq.POLLIN)
            self._resources = stack.pop_all()

    def _receive(self) -> Packet | None:
        try:
            return [self._from.recv(_MAX_DATAGRAM)]
        except BlockingIOError:
            return None

    def _send(self, packet: Packet) -> bool:
        try:
            self._to.sendto(packet[0], self._bridge)
        except OSError:  # no room, no network: as on any other way, UDP loses it
            return False
        return True

"""Stand-ins of the rig's three senders, byte for byte on real sockets.

Owns the sockets, the rates and the counts. Does not own what is seen, felt or measured. Each sender
belongs to one thread at a time: ``run`` until its event is set, then ``close``. The counts may be
read from any thread. ``on_sent`` is called in the sender's thread with each packet handed to the
socket; what was dropped is not passed to it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import zmq

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import resolve
from vla_inference_ros.core.curve import ClientKeys, ServerKeys, secure_client, serving
from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.core.wire import (
    CAMERA_PORT,
    MAX_SAMPLES_PER_DATAGRAM,
    ROBOT_PORT,
    SENSOR_PORT,
    SENSOR_RATE,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
)
from vla_inference_ros.sim.oct_scan import oct_samples
from vla_inference_ros.sim.pace import Pace
from vla_inference_ros.sim.robot_path import robot_packet
from vla_inference_ros.sim.scene import PictureFormat
from vla_inference_ros.sim.source import Flickering, PooledSource, Source, is_live, open_source

CAMERA_NAMES = (
    "zed_41182735_left",
    "zed_49429257_left",
    "zed_44377151_left",
    "zed_49045152_left",
    "oak_CAM_A",
)  # View1..View5
_FRAMES_QUEUED_PER_CAMERA = 2  # a receiver that is slower gets fresh frames, not a backlog


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """The cameras ``names``, all sending ``fps`` frames/s to ``host``:``port``.

    ``sources`` are :func:`open_source` specs, one a camera; cameras without one show the scene.
    ``pool`` 0 makes each frame when it is due; N makes N frames a camera at the start and sends
    those, which lets a small machine reach the full rate. With ``keys`` all is encrypted.
    """

    host: str = "127.0.0.1"
    port: int = CAMERA_PORT
    names: tuple[str, ...] = CAMERA_NAMES
    fps: float = 15.0
    picture: PictureFormat = field(default_factory=PictureFormat)
    sources: tuple[str, ...] = ()
    pool: int = 0
    keys: ClientKeys | None = None


@dataclass(frozen=True, slots=True)
class RobotConfig:
    """The robot's host: ``rate`` packets/s published on ``bind_host``:``port`` (0: any free).

    With ``keys`` all is encrypted.
    """

    bind_host: str = "*"
    port: int = ROBOT_PORT
    rate: float = 100.0
    keys: ServerKeys | None = None


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """The sensor's host: ``rate`` samples/s to ``host``:``port``, in datagrams of a fixed size.

    Its clock is ``clock_skew`` [s] ahead of ours: that is added to every time that it sends.
    """

    host: str = "127.0.0.1"
    port: int = SENSOR_PORT
    rate: float = SENSOR_RATE
    samples_per_datagram: int = MAX_SAMPLES_PER_DATAGRAM
    clock_skew: float = 0.0


class CameraSender:
    """All cameras of the rig: one ZMQ PUSH socket that connects, frames staggered within a period.

    Frames that nobody takes are dropped and counted, never waited for. ``sent``, ``dropped`` and
    ``skipped`` (not made, because making them took too long) count frames of all cameras.
    """

    def __init__(
        self, config: CameraConfig, on_sent: Callable[[CameraFrame], None] | None = None
    ) -> None:
        """Opens the sources and fills the pools, which can take seconds; raises ``SourceError``,
        and OSError for what is no host.
        """
        if not config.names or len(config.sources) > len(config.names):
            raise ValueError(f"{len(config.sources)} sources for {len(config.names)} cameras")
        self._config, self._on_sent = config, on_sent
        self.sent = self.dropped = self.skipped = 0
        self._sources: list[Source] = []
        start = time.time()
        with ExitStack() as stack:
            for view, name in enumerate(config.names):
                spec = config.sources[view] if view < len(config.sources) else ""
                source = open_source(spec, f"View{view + 1}  {name}", view, config.picture)
                stack.callback(source.close)
                if config.pool:
                    source = PooledSource(source, config.pool, start)
                if config.pool or not is_live(spec):
                    source = Flickering(source)
                self._sources.append(source)
            self._socket = _zmq_socket(stack, zmq.PUSH)
            self._socket.set(zmq.SNDHWM, _FRAMES_QUEUED_PER_CAMERA * len(config.names))
            self._socket.set(zmq.IMMEDIATE, 1)  # before a receiver is there, drop instead of queue
            if config.keys is not None:
                secure_client(self._socket, config.keys)
            try:
                zmq_address.connect(self._socket, config.host, config.port)
            except zmq.ZMQError as error:
                where = zmq_address.endpoint(config.host, config.port)
                raise OSError(f"camera sender cannot connect to {where}: {error}") from error
            self._resources = stack.pop_all()

    def send(self, camera: int, t: float) -> None:
        """Make and send a frame of camera ``camera`` (from 0), acquired at Unix time ``t`` [s]."""
        jpeg = self._sources[camera].jpeg(t)
        width, height = jpeg_size(jpeg)
        frame = CameraFrame(self._config.names[camera], t, jpeg, width, height, time.time())
        try:
            self._socket.send_multipart(frame.pack(), zmq.NOBLOCK, copy=False)
        except zmq.Again:
            self.dropped += 1
            return
        self.sent += 1
        if self._on_sent:
            self._on_sent(frame)

    def run(self, stop: threading.Event) -> None:
        """Send at the configured rate until ``stop`` is set."""
        cameras = len(self._sources)
        pace = Pace(self._config.fps * cameras, group=cameras)
        while tick := pace.wait(stop):
            self.skipped = pace.skipped
            self.send(tick.number % cameras, tick.due)

    def close(self) -> None:
        """Close sources and socket; frames still queued are lost."""
        self._resources.close()


class RobotSender:
    """The robot's host: one ZMQ PUB socket that binds. ``sent`` counts packets, heard or not."""

    def __init__(
        self, config: RobotConfig, on_sent: Callable[[RobotPacket], None] | None = None
    ) -> None:
        self._config, self._on_sent = config, on_sent
        self.sent = self.skipped = 0
        with ExitStack() as stack:
            self._socket = _zmq_socket(stack, zmq.PUB)
            if config.keys is not None:
                stack.enter_context(serving(self._socket, config.keys))
            try:
                zmq_address.bind(self._socket, config.bind_host, config.port)
            except zmq.ZMQError as error:
                where = zmq_address.endpoint(config.bind_host, config.port)
                raise OSError(f"robot sender cannot bind {where}: {error}") from error
            self.port = int(self._socket.get_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
            self._resources = stack.pop_all()

    def send(self, t: float) -> None:
        """Send the state at Unix time ``t`` [s]."""
        packet = robot_packet(t, time.time())
        self._socket.send_multipart(packet.pack())
        self.sent += 1
        if self._on_sent:
            self._on_sent(packet)

    def run(self, stop: threading.Event) -> None:
        """Send at the configured rate until ``stop`` is set."""
        pace = Pace(self._config.rate, group=_backlog(self._config.rate))
        while tick := pace.wait(stop):
            self.skipped = pace.skipped
            self.send(tick.due)

    def close(self) -> None:
        """Close the socket."""
        self._resources.close()


class SensorSender:
    """The sensor's host: one UDP socket. ``sent``, ``dropped``, ``skipped`` count datagrams.

    UDP tells nobody what was lost on the way; ``dropped`` are those that this host's own send
    buffer had no room for.
    """

    def __init__(
        self, config: SensorConfig, on_sent: Callable[[SensorDatagram], None] | None = None
    ) -> None:
        """Raises OSError if the host is unknown."""
        if not 1 <= config.samples_per_datagram <= MAX_SAMPLES_PER_DATAGRAM:
            raise ValueError(
                f"samples_per_datagram is {config.samples_per_datagram}, not 1 to "
                f"{MAX_SAMPLES_PER_DATAGRAM}, which is what fits into a UDP datagram"
            )
        self._config, self._on_sent = config, on_sent
        self.sent = self.dropped = self.skipped = 0
        try:
            family, self._to = resolve(config.host, config.port)
        except OSError as error:
            raise OSError(f"sensor sender cannot find host {config.host!r}: {error}") from error
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, t: float) -> None:
        """Send one datagram, whose last sample was taken at Unix time ``t`` [s] of this host."""
        count = self._config.samples_per_datagram
        times = t + np.arange(1 - count, 1) / self._config.rate
        force, ascan = oct_samples(times)
        skew = self._config.clock_skew
        send_times = np.full(count, time.time() + skew)
        datagram = SensorDatagram(times + skew, send_times, force, ascan)
        try:
            self._socket.sendto(datagram.pack(), self._to)
        except BlockingIOError:
            self.dropped += 1
            return
        self.sent += 1
        if self._on_sent:
            self._on_sent(datagram)

    def run(self, stop: threading.Event) -> None:
        """Send at the configured rate until ``stop`` is set."""
        rate = self._config.rate / self._config.samples_per_datagram
        pace = Pace(rate, group=_backlog(rate))
        while tick := pace.wait(stop):
            self.skipped = pace.skipped
            self.send(tick.due)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _backlog(rate: float) -> int:
    """A second's packets: a host that was held up sends them late, as a buffering driver would."""
    return max(1, round(rate))


def _zmq_socket(stack: ExitStack, kind: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = stack.enter_context(zmq.Context())
    made = context.socket(kind)
    made.set(zmq.LINGER, 0)
    stack.callback(made.close)
    return made

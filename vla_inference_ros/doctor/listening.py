"""Listens to the rig's senders on their own sockets, in the place of the bridges.

Owns the sockets while it listens. Does not judge what it hears. What cameras send meanwhile is
gone, as with a bridge that is stopped.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import plain, with_port
from vla_inference_ros.core.allow_list import AllowList
from vla_inference_ros.core.curve import (
    ClientKeys,
    CurveError,
    ServerKeys,
    check_clients,
    read_pair,
    read_public,
    secure_client,
    serving,
)
from vla_inference_ros.core.limits import RobotLimits, SensorLimits
from vla_inference_ros.core.printable import short
from vla_inference_ros.core.udp import UdpReceiver
from vla_inference_ros.core.views import ViewMap
from vla_inference_ros.core.wire import (
    ROBOT_TOPIC,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
    WireError,
)
from vla_inference_ros.doctor.heard import Ear, Heard
from vla_inference_ros.doctor.settings import Settings

_LOOK_PERIOD = 0.1  # how often a thread looks whether it should stop [s]
_CONNECTING = 2.0  # until a host that does not answer is given up [s]
_ROBOT_BYTES = 65536  # of a message's part, as the bridge has it
_MOST_NAMES = 64  # of cameras that are no view


class ListenError(Exception):
    """A stream cannot be listened to; the message says why."""


@dataclass(frozen=True, slots=True)
class CamerasHeard:
    """``views`` by name, ``others`` are cameras that are no view, ``refused`` what is no frame."""

    views: dict[str, Heard]
    others: tuple[str, ...]
    refused: Heard


@dataclass(slots=True)
class _Cameras:
    views: dict[str, Ear]
    refused: Ear
    others: dict[str, None] = field(default_factory=dict)


def listen_to_cameras(settings: Settings, seconds: float, stop: threading.Event) -> CamerasHeard:
    """All cameras, for so long or until ``stop`` is set; raises ListenError."""

    def of(name: str) -> str:
        return str(settings.of("camera_bridge", name))

    try:
        views = ViewMap(settings.of("camera_bridge", "view_map"))
        modes = _clock_modes(settings.of("camera_bridge", "clock_modes"), views.views)
        keys = _server_keys(of("curve_certificate"), of("curve_clients"))
        ears = _Cameras({view: Ear(modes[view]) for view in views.views}, Ear("calibrate"))
    except (CurveError, ValueError) as error:
        raise ListenError(f"camera_bridge: {error}") from error
    most_bytes = int(settings.of("camera_bridge", "max_message_bytes"))
    with ExitStack() as stack:
        receiver = _socket(stack, zmq.PULL, most_bytes)
        if keys is not None:
            stack.enter_context(serving(receiver, keys))
        try:
            zmq_address.bind(receiver, of("bind_address"), int(of("port")))
        except zmq.ZMQError as error:
            where = with_port(of("bind_address"), int(of("port")))
            raise ListenError(f"TCP {where}: {error}") from error
        for parts in _messages(receiver, seconds, stop):
            _take_frame(ears, views, parts, int(settings.of("camera_bridge", "max_pixels")))
    heard = {view: ear.result() for view, ear in ears.views.items()}
    return CamerasHeard(heard, tuple(ears.others), ears.refused.result())


def listen_to_robot(settings: Settings, seconds: float, stop: threading.Event) -> Heard:
    """The robot's host, likewise; a bridge may listen beside us."""

    def of(name: str) -> str:
        return str(settings.of("robot_bridge", name))

    try:
        keys = _client_keys(of("curve_certificate"), of("curve_server"))
        ear = Ear(of("clock_mode"))
        limits = _robot_limits(settings)
    except (CurveError, ValueError) as error:
        raise ListenError(f"robot_bridge: {error}") from error
    with ExitStack() as stack:
        receiver = _socket(stack, zmq.SUB, _ROBOT_BYTES)
        receiver.set(zmq.SUBSCRIBE, ROBOT_TOPIC)
        if keys is not None:
            secure_client(receiver, keys)
        try:
            zmq_address.connect(receiver, of("host"), int(of("port")))
        except zmq.ZMQError as error:
            where = with_port(of("host"), int(of("port")))
            raise ListenError(f"TCP {where}: {error}") from error
        for parts in _messages(receiver, seconds, stop):
            received = time.time()
            try:
                packet = RobotPacket.unpack(parts)
                limits.check(packet)
            except WireError as error:
                ear.refuse(error.kind, str(error))
                continue
            ear.take(
                newest_time=packet.origin_time,
                send_time=packet.send_time,
                receive_time=received,
                size=sum(map(len, parts)),
            )
    return ear.result()


def listen_to_sensor(settings: Settings, seconds: float, stop: threading.Event) -> Heard:
    """The sensor's host, likewise."""

    def of(name: str) -> str:
        return str(settings.of("sensor_bridge", name))

    try:
        allowed = AllowList.parse(of("allowed_sources"))
        ear = Ear(of("clock_mode"))
    except ValueError as error:
        raise ListenError(f"sensor_bridge: {error}") from error
    buffer = int(settings.of("sensor_bridge", "receive_buffer"))
    limits = SensorLimits(
        settings.of("sensor_bridge", "force_limit"), settings.of("sensor_bridge", "ascan_limit")
    )
    try:
        receiver = UdpReceiver(of("bind_address"), int(of("port")), buffer, _LOOK_PERIOD)
    except OSError as error:
        where = with_port(of("bind_address"), int(of("port")))
        raise ListenError(f"UDP {where}: {error}") from error
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end and not stop.is_set():
            datagram = receiver.receive()
            if datagram is None:
                continue
            if not allowed.allows(datagram.source):
                message = f"datagrams come from {datagram.source}, which is not in allowed_sources"
                ear.refuse("foreign source", message)
                continue
            try:
                samples = SensorDatagram.unpack(datagram.data)
                limits.check(samples)
            except WireError as error:
                ear.refuse(error.kind, str(error))
                continue
            ear.take(
                newest_time=float(samples.times[-1]),
                send_time=float(samples.send_times[-1]),
                receive_time=datagram.receive_time,
                size=len(datagram.data),
                items=len(samples.times),
                source=datagram.source,
            )
    finally:
        receiver.close()
    return ear.result()


def why_unreachable(host: str, port: int) -> str:
    """What keeps a TCP connection to a host from being made; '' if nothing does."""
    try:
        socket.create_connection((plain(host), port), _CONNECTING).close()
    except (OSError, UnicodeError, OverflowError) as error:  # of no host's name, of no port
        return getattr(error, "strerror", None) or str(error)
    return ""


def _robot_limits(settings: Settings) -> RobotLimits:
    names = ("joint_minima", "joint_maxima", "position_limit", "force_limit")
    return RobotLimits(*(settings.of("robot_bridge", name) for name in names))


def _take_frame(ears: _Cameras, views: ViewMap, parts: list[bytes], most_pixels: int) -> None:
    received = time.time()
    try:
        frame = CameraFrame.unpack(parts, most_pixels)
    except WireError as error:
        ears.refused.refuse(error.kind, str(error))
        return
    view = views.view_of(frame.camera)
    if view is None:
        if len(ears.others) < _MOST_NAMES:
            ears.others[short(frame.camera)] = None
        return
    ears.views[view].take(
        newest_time=frame.timestamp,
        send_time=frame.send_time,
        receive_time=received,
        size=len(frame.jpeg),
        source=short(frame.camera),
        picture=(frame.width, frame.height),
    )


def _socket(stack: ExitStack, kind: int, most_bytes: int) -> zmq.Socket[bytes]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    stack.callback(context.destroy, linger=0)
    made = context.socket(kind)
    made.set(zmq.MAXMSGSIZE, 2 * most_bytes)  # as the bridges have it
    made.set(zmq.RCVTIMEO, round(_LOOK_PERIOD * 1e3))
    return made


def _messages(
    receiver: zmq.Socket[bytes], seconds: float, stop: threading.Event
) -> Iterator[list[bytes]]:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.is_set():
        try:
            yield receiver.recv_multipart()
        except zmq.Again:
            continue


def _clock_modes(entries: list[str], views: list[str]) -> dict[str, str]:
    """The clock mode of each view, as the bridge reads them: one for all, then exceptions."""
    modes = dict.fromkeys(views, entries[0])
    return modes | dict(entry.split("=", 1) for entry in entries[1:] if "=" in entry)


def _server_keys(certificate: str, clients: str) -> ServerKeys | None:
    if not certificate:
        return None
    own = read_pair(Path(certificate).expanduser())
    if not clients:
        return ServerKeys(own)
    folder = Path(clients).expanduser()
    check_clients(folder)
    return ServerKeys(own, folder)


def _client_keys(certificate: str, server: str) -> ClientKeys | None:
    if not certificate or not server:
        return None
    own = read_pair(Path(certificate).expanduser())
    return ClientKeys(own, read_public(Path(server).expanduser()))

"""Proxies that number what passes, remember when it was really acquired, and what was spoilt.

The number goes where it changes nothing that matters and survives what is done to times: into a
comment segment of a frame's JPEG, and in the place of the robot's and the sensor's force. A
sample's number is its slot of 1/650 s.
"""

from __future__ import annotations

import itertools
import struct
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from truth import FOREIGN, Origin, StreamTruth, Truth

from vla_inference_ros.core.wire import (
    SENSOR_RATE,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
    WireError,
)
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.sim.faults import Faults
from vla_inference_ros.sim.formats import Packet
from vla_inference_ros.sim.proxy import CameraProxy, RobotProxy, Route, SensorProxy
from vla_inference_ros.sim.senders import CAMERA_NAMES
from vla_inference_ros.sim.spoilt import DAMAGED, OWN

VIEW_OF = dict(zip(CAMERA_NAMES, VIEWS, strict=True))
_MAX_PIXELS = 1 << 24
_IMAGE_START = 2  # bytes of a JPEG's first marker
_SEGMENT = struct.Struct(">2sH8sI")  # a comment: its marker, its length without that, ours, number
_COMMENT, _OURS = b"\xff\xfe", b"VLABENCH"
_HEAD = _COMMENT + struct.pack(">H", _SEGMENT.size - len(_COMMENT)) + _OURS
FOREIGN_FRAME = 0xFFFF_FFFF  # the number of what a second sender sends
_NEWEST = 2000  # samples among which one that is handed on is found: those of three seconds
_SEARCHED = 256  # bytes of a message in which the mark must begin


class MarkedCameras(CameraProxy):
    """Numbers the frames of each view, and keeps them for a bridge that is away."""

    frames_queued, keeps = 1000, True

    def __init__(self, route: Route, truth: Truth) -> None:
        """Raises OSError."""
        super().__init__(route)
        self._truth = truth

    def _receive(self) -> Packet | None:
        packet = super()._receive()
        return None if packet is None else marked_frame(packet, self._truth)

    def _send(self, packet: Packet) -> bool:
        note_frame(packet, self.faults, self._truth)
        return super()._send(packet)


class MarkedRobot(RobotProxy):
    """Numbers the robot's packets."""

    def __init__(self, route: Route, truth: Truth) -> None:
        """Raises OSError."""
        super().__init__(route)
        self._truth = truth["robot"]

    def _receive(self) -> Packet | None:
        packet = super()._receive()
        return None if packet is None else marked_state(packet, self._truth)

    def _send(self, packet: Packet) -> bool:
        note_state(packet, self.faults, self._truth)
        return super()._send(packet)


class MarkedSensor(SensorProxy):
    """Numbers the sensor's samples."""

    def __init__(self, route: Route, truth: Truth) -> None:
        """Raises OSError."""
        super().__init__(route)
        self._truth = truth["sensor"]
        self._start: float | None = None

    def _receive(self) -> Packet | None:
        packet = super()._receive()
        if packet is None:
            return None
        if self._start is None:
            self._start = float(SensorDatagram.unpack(packet[0]).times[0])
        return marked_samples(packet, self._start, self._truth)

    def _send(self, packet: Packet) -> bool:
        note_samples(packet, self.faults, self._truth)
        return super()._send(packet)


# --- camera


def marked_frame(packet: Packet, truth: Truth) -> Packet:
    """A sender's frame with a number in its JPEG, and noted."""
    frame = CameraFrame.unpack(packet, _MAX_PIXELS)
    origins = truth[VIEW_OF[frame.camera]].origins
    number = len(origins) + 1
    sent = frame.timestamp if frame.send_time is None else frame.send_time
    origins[number] = Origin(frame.timestamp, sent)
    return replace(frame, jpeg=marked_jpeg(frame.jpeg, number)).pack()


def marked_jpeg(jpeg: bytes, number: int) -> bytes:
    """A JPEG with a number in it."""
    mark = _SEGMENT.pack(_COMMENT, _SEGMENT.size - len(_COMMENT), _OURS, number)
    return jpeg[:_IMAGE_START] + mark + jpeg[_IMAGE_START:]


def frame_number(data: bytes) -> int | None:
    """The number in a marked JPEG, or in what begins with little else; None if it is damaged."""
    at = data.find(_HEAD, 0, _SEARCHED)
    if at < 0 or len(data) < at + _SEGMENT.size:
        return None
    number: int = _SEGMENT.unpack_from(data, at)[3]
    return int(FOREIGN) if number == FOREIGN_FRAME else number


def note_frame(packet: Packet, faults: Faults, truth: Truth) -> None:
    """What is handed on to the bridge; a frame that the bridge cannot read is none.

    One whose camera's name is damaged may still be taken for any view's, by a clock of its own.
    """
    try:
        frame = CameraFrame.unpack(packet, _MAX_PIXELS)
    except WireError:
        return
    number = frame_number(frame.jpeg)
    if number is None:
        return
    if frame.camera not in VIEW_OF:
        for view in VIEWS:
            truth[view].damaged.add(number)
        return
    stream = truth[VIEW_OF[frame.camera]]
    origin = Origin(frame.timestamp, -1.0 if frame.send_time is None else frame.send_time)
    suffers = faults.only in frame.camera
    if suffers and faults.content in DAMAGED:
        stream.unusable.add(number)
    _note(stream, number, origin, faults, suffers=suffers)


# --- robot


def marked_state(packet: Packet, stream: StreamTruth) -> Packet:
    """The robot's state with a number for its force, and noted."""
    state = RobotPacket.unpack(packet)
    number = float(len(stream.origins) + 1)
    stream.origins[number] = Origin(state.origin_time, state.send_time)
    return replace(state, force=number).pack()


def note_state(packet: Packet, faults: Faults, stream: StreamTruth) -> None:
    """What is handed on to the bridge."""
    try:
        state = RobotPacket.unpack(packet)
    except WireError:
        return
    _note(stream, state.force, Origin(state.origin_time, state.send_time), faults)


# --- sensor


def marked_samples(packet: Packet, start: float, stream: StreamTruth) -> Packet:
    """A datagram with each sample's slot after ``start`` [Unix s] for its force, and noted."""
    datagram = SensorDatagram.unpack(packet[0])
    slots = np.rint((datagram.times - start) * SENSOR_RATE)
    for slot, time, sent in zip(
        slots.tolist(), datagram.times.tolist(), datagram.send_times.tolist(), strict=True
    ):
        stream.origins[slot] = Origin(time, sent)
    return [replace(datagram, force=slots.astype(np.float32)).pack()]


def sample_numbers(force: NDArray[np.float32]) -> list[float]:
    """Slots of one datagram's samples, which follow each other; most of them decide. What a second
    sender sends has none.
    """
    if (force == FOREIGN).all():
        return [FOREIGN] * len(force)
    firsts = force.astype(np.float64) - np.arange(len(force))
    first: float = Counter(firsts.tolist()).most_common(1)[0][0]
    return [first + row for row in range(len(force))]


def foreign_force(count: int) -> NDArray[np.float32]:
    """The forces of a second sender's samples."""
    return np.full(count, FOREIGN, np.float32)


def note_samples(packet: Packet, faults: Faults, stream: StreamTruth) -> None:
    """What is handed on to the bridge."""
    try:
        datagram = SensorDatagram.unpack(packet[0])
    except WireError:
        return
    numbers = sample_numbers(datagram.force)
    origins = [
        Origin(time, sent)
        for time, sent in zip(datagram.times.tolist(), datagram.send_times.tolist(), strict=True)
    ]
    if faults.content != OWN:  # its numbers come again with it; only its times tell its slots
        slots = _slots_at(datagram.times, stream)
        stream.handed_on.update(slots)
        stream.damaged.update(numbers, slots)
    spoilt = any(stream.origins.get(n) != o for n, o in zip(numbers, origins, strict=True))
    for number in numbers:
        stream.handed_on.add(number)
        if spoilt and faults.corrupt:
            stream.damaged.add(number)


def _slots_at(times: NDArray[np.float64], stream: StreamTruth) -> list[float]:
    """The numbers of the samples of late that were acquired at these times [Unix s]."""
    wanted = set(times.tolist())
    newest = itertools.islice(reversed(stream.origins.items()), _NEWEST)
    return [number for number, origin in newest if origin.acquired in wanted]


def _note(
    stream: StreamTruth, number: float, origin: Origin, faults: Faults, *, suffers: bool = True
) -> None:
    stream.handed_on.add(number)
    if stream.origins.get(number) == origin or not suffers:
        return
    if faults.corrupt:
        stream.damaged.add(number)
    if (faults.frozen and not faults.frozen_stamps) or faults.content != OWN:
        stream.repeated.add(number)

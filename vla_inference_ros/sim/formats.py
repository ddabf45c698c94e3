"""What the three streams' packets have in common: a source, times, and the rest.

Owns how the times of a packet are found and replaced. Does not own the byte layouts.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram

Packet = list[bytes]  # the parts of a ZMQ message; a datagram is one part
Times = NDArray[np.float64]  # (2, n) [Unix s]: acquisition, then sending; NaN where there is none

ANY_PICTURE = 1 << 32  # pixels; what is too large is for the bridge to say


class Format(Protocol):
    """How a stream's packets are read. ``ordered`` if the network never lets one overtake."""

    name: str
    ordered: bool

    def source(self, packet: Packet) -> str:
        """Who of several has sent a packet; '' if there is only one, or it cannot be read."""

    def times(self, packet: Packet) -> Times:
        """All times in a packet; raises WireError."""

    def with_times(self, packet: Packet, times: Times) -> Packet:
        """A good packet's content with other times, perhaps of another number n."""


class CameraFormat:
    """JSON header and JPEG, of several cameras."""

    name = "camera"
    ordered = True

    def source(self, packet: Packet) -> str:
        """The camera's name."""
        try:
            header = json.loads(packet[0])
        except (ValueError, RecursionError):
            return ""
        name = header.get("camera") if isinstance(header, dict) else None
        return name if isinstance(name, str) else ""

    def times(self, packet: Packet) -> Times:
        """One of each; the time of sending is optional."""
        frame = CameraFrame.unpack(packet, ANY_PICTURE)
        send_time = math.nan if frame.send_time is None else frame.send_time
        return np.array([[frame.timestamp], [send_time]])

    def with_times(self, packet: Packet, times: Times) -> Packet:
        """Leaves the rest of the header as it is."""
        header = json.loads(packet[0])
        header["timestamp"] = float(times[0, 0])
        header.pop("send_time", None)
        if not math.isnan(times[1, 0]):
            header["send_time"] = float(times[1, 0])
        return [json.dumps(header).encode(), *packet[1:]]


class RobotFormat:
    """Topic and state."""

    name = "robot"
    ordered = True

    def source(self, packet: Packet) -> str:
        """There is one robot."""
        return ""

    def times(self, packet: Packet) -> Times:
        """One of each."""
        robot = RobotPacket.unpack(packet)
        return np.array([[robot.origin_time], [robot.send_time]])

    def with_times(self, packet: Packet, times: Times) -> Packet:
        """The same state at another time."""
        robot = RobotPacket.unpack(packet)
        origin_time, send_time = float(times[0, 0]), float(times[1, 0])
        return replace(robot, origin_time=origin_time, send_time=send_time).pack()


class SensorFormat:
    """Samples, in a datagram."""

    name = "sensor"
    ordered = False

    def source(self, packet: Packet) -> str:
        """There is one sensor."""
        return ""

    def times(self, packet: Packet) -> Times:
        """Those of each sample."""
        datagram = SensorDatagram.unpack(packet[0])
        return np.stack([datagram.times, datagram.send_times])

    def with_times(self, packet: Packet, times: Times) -> Packet:
        """As many samples as times: the first ones, and again from the start if they run out."""
        datagram = SensorDatagram.unpack(packet[0])
        rows = np.arange(times.shape[1]) % len(datagram.times)
        force, ascan = datagram.force[rows], datagram.ascan[rows]
        return [SensorDatagram(times[0], times[1], force, ascan).pack()]

"""What was recorded of the senders' traffic: each packet as sent, and what became of its times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram

Packet = TypeVar("Packet", CameraFrame, RobotPacket, SensorDatagram)


@dataclass(frozen=True, slots=True, eq=False)
class Received(Generic[Packet]):
    """A packet that was ``received`` [Unix s]. Its own times are by its sender's clock; with
    ``clock_offset`` [s] added they are by the receiving host's. ``view`` is a frame's.
    """

    packet: Packet
    clock_offset: float
    received: float
    view: str = ""

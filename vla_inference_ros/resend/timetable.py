"""When each recorded packet is due again, and what times it then has to say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vla_inference_ros.core.schedule import TickClock
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.traffic import Received


class Timetable:
    """Packets are due as long after the first as they were received after it, over ``rate``: never
    after the one before, so that no delay adds up. With a rate of 0 each is due at once.
    """

    def __init__(self, first: float, rate: float, clock: TickClock) -> None:
        """The packet that was received at ``first`` [Unix s] is due now."""
        self.first, self._rate, self._clock = first, rate, clock
        self._start = clock.now()

    def wait(self, received: float) -> float:
        """Wait until what was ``received`` then [Unix s] is due; that instant of the clock [s]."""
        now = self._clock.now()
        if self._rate == 0.0:
            return now
        due = self._start + (received - self.first) / self._rate
        while now < due:
            self._clock.sleep_until(due)
            now = self._clock.now()
        return due

    def late(self, due: float) -> float:
        """How long ago that instant was [s]."""
        return self._clock.now() - due

    def to_unix(self, due: float) -> float:
        """That instant as a time of this host [Unix s]."""
        return self._clock.to_unix(due)


def restamped(received: Received[Any], now: float, rate: float) -> Any:
    """A packet as if it were received ``now`` [Unix s], by this host's clock and as old as it was.

    The samples of a datagram keep the age of the last of them, and move together as datagrams do:
    they are ``rate`` times as close, or with a rate of 0 all at one time.
    """
    packet, shift = received.packet, received.clock_offset + now - received.received
    if isinstance(packet, CameraFrame):
        sent = None if packet.send_time is None else packet.send_time + shift
        return replace(packet, timestamp=packet.timestamp + shift, send_time=sent)
    if isinstance(packet, RobotPacket):
        origin, sent = packet.origin_time + shift, packet.send_time + shift
        return replace(packet, origin_time=origin, send_time=sent)
    spread = 1.0 / rate if rate else 0.0
    times, sent = (
        row[-1] + shift - (row[-1] - row) * spread for row in (packet.times, packet.send_times)
    )
    return SensorDatagram(times, sent, packet.force, packet.ascan)

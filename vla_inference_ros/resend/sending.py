"""Sends recorded packets in their order, each when it is due, and counts them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vla_inference_ros.core.schedule import SteadyClock, TickClock
from vla_inference_ros.recording.recording import Recording
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.resend.outlets import Outlet
from vla_inference_ros.resend.timetable import Timetable, restamped

STREAMS = {"camera": "frames", "robot": "packets", "sensor": "datagrams"}  # and what is in them

Tagged: TypeAlias = tuple[str, Received[Any]]  # a packet and its stream


@dataclass(slots=True)
class Sent:
    """What was sent of one stream: ``late`` is the most that a packet was behind its time [s]."""

    packets: int = 0
    size: int = 0  # [bytes]
    late: float = 0.0


@dataclass(slots=True)
class Sending:
    """For one thread. ``rate`` is how many times as fast as they were received packets are sent, 0
    for as fast as they are taken. With ``restamp`` their times are moved.
    """

    outlets: dict[str, Outlet]
    rate: float = 1.0
    restamp: bool = False
    clock: TickClock = field(default_factory=SteadyClock)
    sent: dict[str, Sent] = field(default_factory=dict)

    def run(self, packets: Iterable[Tagged]) -> Iterator[float]:
        """Send all; with each that has been sent comes how far the recording has got [s]. Raises
        OutletError, and RecordingError.
        """
        timetable: Timetable | None = None
        for stream, received in packets:
            if timetable is None:
                timetable = Timetable(received.received, self.rate, self.clock)
            due = timetable.wait(received.received)
            packet = received.packet
            if self.restamp:
                packet = restamped(received, timetable.to_unix(due), self.rate)
            counts = self.sent.setdefault(stream, Sent())
            counts.size += self.outlets[stream].send(packet)
            counts.packets += 1
            counts.late = max(counts.late, timetable.late(due))
            yield received.received - timetable.first


def recorded_streams(recording: Recording, names: Sequence[str]) -> list[str]:
    """Those streams of ``names`` of which anything was recorded."""
    return [name for name in names if next(_packets(recording, name), None) is not None]


def merged(recording: Recording, names: Sequence[str]) -> Iterator[Tagged]:
    """All packets of these streams, by the time of receipt. Nothing is opened before it is read."""
    streams = [_tagged(recording, name) for name in names]
    yield from heapq.merge(*streams, key=lambda entry: entry[1].received)


def _tagged(recording: Recording, name: str) -> Iterator[Tagged]:
    for packet in _packets(recording, name):
        yield name, packet


def _packets(recording: Recording, name: str) -> Iterator[Received[Any]]:
    streams: dict[str, Callable[[], Iterator[Received[Any]]]] = {
        "camera": recording.frames,
        "robot": recording.states,
        "sensor": recording.samples,
    }
    return streams[name]()

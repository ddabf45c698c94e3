"""A simulated sender, its network and this host's clock, for tests of the clock service."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vla_inference_ros.core.clock import HostClock

NOW = 1.7e9
SENSOR_RATE = 44.0
LEAST_DELAY, JITTER = 0.0002, 0.001
AGE = 0.08  # of the newest item when it is sent

Course = Callable[[float], float]  # of a value over true time


def steady(value: float) -> Course:
    return lambda _: value


NEVER = steady(0.0)
BEHIND = steady(1.5)
WAITING = steady(AGE)


@dataclass(frozen=True, slots=True)
class Packet:
    """How far the offset it was given is from the true one [s], whether that is taken for known,
    and what was said.
    """

    time: float
    known: bool
    error: float
    age: float
    delay: float
    notice: str


@dataclass
class World:
    """A sender whose clock is ``offset`` behind ours, and a network with jitter.

    ``wrong`` is added to the send times, ``added_delay`` to the network's, ``own`` to our clock.
    """

    clock: HostClock = field(default_factory=HostClock)
    rate: float = SENSOR_RATE
    offset: Course = BEHIND
    added_delay: Course = NEVER
    wrong: Course = NEVER
    own: Course = NEVER
    sends_time: bool = True
    age: Course = WAITING
    time: float = 0.0
    source: random.Random = field(default_factory=lambda: random.Random(7))

    def run(self, seconds: float) -> list[Packet]:
        return list(self.packets(seconds))

    def packets(self, seconds: float) -> Iterator[Packet]:
        for _ in range(round(seconds * self.rate)):
            self.time += 1 / self.rate
            jitter = self.source.expovariate(1 / JITTER)
            delay = LEAST_DELAY + jitter + self.added_delay(self.time)
            arrival = self.time + delay
            wrong = self.wrong(self.time)
            sent = NOW + self.time - self.offset(self.time) + wrong
            newest = sent - self.age(self.time)
            received = NOW + arrival + self.own(arrival)
            seen = self.clock.observe(
                newest_time=newest,
                send_time=sent if self.sends_time else None,
                receive_time=received,
                steady_time=1000.0 + arrival,
            )
            true_offset = self.offset(self.time) + self.own(arrival) - wrong
            age = received - (newest + seen.offset)
            known = self.clock.read().calibrated
            yield Packet(self.time, known, seen.offset - true_offset, age, delay, seen.notice)


def worst(packets: list[Packet]) -> float:
    assert packets
    return max(abs(packet.error) for packet in packets)


def notices(packets: list[Packet]) -> list[str]:
    return [packet.notice for packet in packets if packet.notice]

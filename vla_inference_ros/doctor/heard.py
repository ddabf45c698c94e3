"""What was heard of one stream: how much, how large, how old, what was wrong, by which clock."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

from vla_inference_ros.core.clock import ClockReading, HostClock

# A sender that could not send until now sends its backlog first, which tells nothing of its rate,
# its clock and the age of what it sends [s].
_SETTLING = 1.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Refused packets of one kind, and what was said of the first of them."""

    kind: str
    count: int
    message: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Of a stream, over ``seconds``.

    ``packets`` are good ones, ``rate`` [1/s] is that of their items (samples of a datagram, else
    packets), ``size`` the mean of a packet [bytes], 0 if not known. ``width`` and ``height`` are a
    picture's. ``age`` [s] is how old the newest item was at best, by the clock as it will be taken;
    infinite if there is none. ``clock`` is what has been learnt of the sender's; None if nothing.
    """

    seconds: float
    packets: int = 0
    rate: float = 0.0
    size: float = 0.0
    width: int = 0
    height: int = 0
    age: float = math.inf
    sources: tuple[str, ...] = ()
    troubles: tuple[Trouble, ...] = ()
    clock: ClockReading | None = None


class Ear:
    """Collects what is heard of one stream; for one thread.

    The clock is learnt, whatever the node's ``mode`` for it is; ages are by that mode.
    """

    def __init__(self, mode: str) -> None:
        self._clock, self._as_taken = HostClock(), HostClock(mode)
        self._start = time.monotonic()
        self._first: float | None = None  # steady time of the packet that the rate counts from
        self._packets = self._items = self._bytes = self._width = self._height = 0
        self._age = math.inf
        self._sources: dict[str, None] = {}
        self._troubles: dict[str, Trouble] = {}

    def take(
        self,
        *,
        newest_time: float,
        send_time: float | None,
        receive_time: float,
        size: int,
        items: int = 1,
        source: str = "",
        picture: tuple[int, int] = (0, 0),
    ) -> None:
        """Count a good packet of ``size`` bytes; times are as for `HostClock.observe`."""
        self._packets += 1
        self._bytes += size
        self._width, self._height = picture
        if source:
            self._sources[source] = None
        steady = time.monotonic() - (time.time() - receive_time)
        if steady - self._start < _SETTLING:
            return
        if self._first is None:
            self._first = steady
        else:
            self._items += items
        for clock in (self._clock, self._as_taken):
            offset = clock.observe(
                newest_time=newest_time,
                send_time=send_time,
                receive_time=receive_time,
                steady_time=steady,
            ).offset
        self._age = min(self._age, receive_time - newest_time - offset)

    def refuse(self, kind: str, message: str) -> None:
        """Count a bad packet."""
        before = self._troubles.get(kind, Trouble(kind, 0, message))
        self._troubles[kind] = Trouble(kind, before.count + 1, before.message)

    def result(self) -> Heard:
        """All of it, up to now."""
        now = time.monotonic()
        counted = 0.0 if self._first is None else now - self._first
        return Heard(
            seconds=now - self._start,
            packets=self._packets,
            rate=self._items / counted if counted > 0 else 0.0,
            size=self._bytes / self._packets if self._packets else 0.0,
            width=self._width,
            height=self._height,
            age=self._age,
            sources=tuple(self._sources),
            troubles=tuple(self._troubles.values()),
            clock=None if self._first is None else self._clock.read(),
        )


def troubles_of(kinds: Iterable[str], counts: Iterable[int]) -> tuple[Trouble, ...]:
    """From a node's report, which does not say more than the kinds."""
    return tuple(
        Trouble(kind, count, f"{kind} (the node's log says more)")
        for kind, count in zip(kinds, counts, strict=True)
        if count
    )

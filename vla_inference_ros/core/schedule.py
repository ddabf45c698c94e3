"""An absolute schedule: tick k is due at k * period of the clock, whatever the ticks before did.

Every schedule of a host counts from the same zero, so the VLM's ticks keep their phase to the
action expert's, and features arrive between the same two ticks each time.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Protocol

# How long one wait may last before the stop event is looked at again [s].
_SLICE = 0.05
_ABOUT = 0.001  # by how much sooner one may be near a tick than was asked for [s]


class TickClock(Protocol):
    """What a schedule needs of a clock; times in seconds on the clock's own scale."""

    def now(self) -> float:
        """The present time."""

    def sleep_until(self, deadline: float) -> None:
        """Return at ``deadline``, or earlier."""

    def to_unix(self, instant: float) -> float:
        """An instant of this clock as a stamp [Unix s]."""


class SteadyClock:
    """The monotonic clock: setting the time of day does not move its ticks.

    ``awake`` is for how long before a deadline nobody sleeps [s]. A virtual machine now and then
    takes a millisecond to wake a thread, of whatever priority, and hardly ever to let it go on.
    """

    def __init__(self, awake: float = 0.0) -> None:
        self._awake = awake

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def sleep_until(self, deadline: float) -> None:
        """Sleep; not at all if the deadline has passed, or is that near."""
        delay = deadline - time.monotonic() - self._awake
        if delay > 0:
            time.sleep(delay)

    def to_unix(self, instant: float) -> float:
        """By the two clocks' present difference."""
        return instant + (time.time() - time.monotonic())


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: when it was due [Unix s], how many just before it were missed, and how late this
    one was noticed [s].
    """

    stamp: float
    missed: int
    late: float = 0.0


class Schedule:
    """Waits for one tick after the other.

    A tick that comes while its user is still busy is missed: it is counted and never made up for,
    so ticks do not bunch and nothing queues. With ``catch_up`` the newest one of those that came
    meanwhile is taken at once instead, late: a user that is now and then slower than the period
    loses the excess, not a whole period. A clock that starts late or is set back, as simulated
    time does when a bag is played and looped, misses no ticks: they go on from its new time.
    """

    def __init__(
        self,
        period: float,
        clock: TickClock | None = None,
        *,
        phase: float = 0.0,
        catch_up: bool = False,
    ) -> None:
        """Tick k is due at ``phase`` + k * ``period`` [s]."""
        if not period > 0:
            raise ValueError(f"period is {period} s, not positive")
        self.period = period
        self._phase = phase
        self._catch_up = catch_up
        self._is_near = False  # somebody has waited for the next tick already
        self._clock: TickClock = clock or SteadyClock()
        now = self._clock.now()
        self._has_begun = now > 0  # simulated time stands at 0 until somebody says what time it is
        self._index = self._passed(now)

    def wait(self, stopping: threading.Event) -> Tick | None:
        """Wait for the next tick; None once ``stopping`` is set."""
        now = self._clock.now()
        self._begin(now)
        missed = max(0, self._passed(now) - self._index)
        if missed and (self._catch_up or self._is_near):
            missed -= 1
        self._is_near = False
        self._index += missed + 1
        while not stopping.is_set():
            due = self._due(self._index)
            if now >= due:
                slept = max(0, self._passed(now) - self._index)  # woken after more than one tick
                self._index += slept
                due = self._due(self._index)
                return Tick(self._clock.to_unix(due), missed + slept, now - due)
            self._clock.sleep_until(min(due, now + _SLICE))
            now = self._clock.now()
            if self._begin(now):
                self._index += 1
            elif due - now > 2 * self.period:  # it was set back
                self._index = self._passed(now) + 1
        return None

    def wait_until_near(self, stopping: threading.Event, lead: float) -> float:
        """Wait until about ``lead`` [s] before the next tick, or until ``stopping`` is set: for
        what can be done ahead, so that the tick itself takes always about as long. Should that
        outlast the tick, the next ``wait`` gives it all the same, late. Returns the tick's stamp
        [Unix s].
        """
        now, due = self._clock.now(), self._due(self._index + 1)
        self._is_near = now < due
        while now < due - lead - _ABOUT and not stopping.is_set():
            if due - now > 2 * self.period:  # the clock was set back: `wait` sees to it
                self._is_near = False
                break
            self._clock.sleep_until(min(due - lead, now + _SLICE))
            now = self._clock.now()
            if self._begin(now):
                due = self._due(self._index + 1)
        return self._clock.to_unix(due)

    def _begin(self, now: float) -> bool:
        """Whether it counts from ``now`` on, because simulated time has just begun."""
        if self._has_begun or now <= 0:
            return False
        self._has_begun = True
        self._index = self._passed(now)
        return True

    def _passed(self, now: float) -> int:
        """The number of the newest tick that has come."""
        return math.floor((now - self._phase) / self.period)

    def _due(self, index: int) -> float:
        return self._phase + index * self.period

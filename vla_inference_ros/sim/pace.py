"""The simulated senders' absolute schedule: when the next thing is due, and what was skipped.

Owns waiting. Does not own what is sent. Unlike the nodes' ``core.schedule``, a tick a little
late is still made, and the clocks are compared only once, so that stamps are spaced exactly.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """Tick ``number`` (from 0) of a schedule, due at Unix time ``due`` [s]."""

    number: int
    due: float


class Pace:
    """Ticks at start + n / rate, never from the last one's end, so that no error adds up.

    A sender more than ``group`` ticks behind skips whole groups of them and counts them in
    ``skipped``. The monotonic clock drives it: a step of the system's clock moves no tick.
    """

    def __init__(self, rate: float, group: int = 1) -> None:
        """``rate`` [ticks/s]; the first tick is due at once."""
        if not rate > 0.0:
            raise ValueError(f"rate is {rate}, not above 0 per second")
        self._rate, self._group = rate, group
        self._number = 0
        self._start = time.monotonic()
        self._start_unix = time.time()
        self.skipped = 0

    def wait(self, stop: threading.Event) -> Tick | None:
        """Block until the next tick is due; None once ``stop`` is set."""
        late = time.monotonic() - self._start - self._number / self._rate
        groups_behind = int(late * self._rate) // self._group
        if groups_behind > 0:
            self._number += groups_behind * self._group
            self.skipped += groups_behind * self._group
        wait = self._start + self._number / self._rate - time.monotonic()
        if stop.wait(max(0.0, wait)):
            return None
        tick = Tick(self._number, self._start_unix + self._number / self._rate)
        self._number += 1
        return tick

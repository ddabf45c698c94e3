"""A clock that only moves when it is told to, or slept on: no test waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vla_inference_ros.core.schedule import Schedule, Tick

PERIOD = 0.125  # exact in binary
EPOCH = 1.7e9


class FakeClock:
    """``lateness`` is how long after its deadline each sleep ends."""

    def __init__(self, time: float = 100.0) -> None:
        self.time = time
        self.lateness = 0.0
        self.longest_sleep = 0.0
        self.on_sleep: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def sleep_until(self, deadline: float) -> None:
        assert deadline > self.time
        self.longest_sleep = max(self.longest_sleep, deadline - self.time)
        self.time = deadline + self.lateness
        self.on_sleep()

    def to_unix(self, instant: float) -> float:
        return instant + EPOCH


def next_tick(schedule: Schedule) -> Tick:
    tick = schedule.wait(threading.Event())
    assert tick is not None
    return tick

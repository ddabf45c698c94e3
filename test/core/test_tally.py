from __future__ import annotations

import pytest

from vla_inference_ros.core.tally import MOST_KINDS, Tally, TallyReading, WarningLimiter


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def warnings(limiter: WarningLimiter, clock: FakeClock, seconds: int, kind: str) -> list[int]:
    """When it warns, in seconds from now, of something that happens ten times a second."""
    start, times = clock.time, []
    for step in range(10 * seconds):
        clock.time = start + step / 10
        if limiter.due(kind):
            times.append(round(clock.time - start))
    return times


def test_what_goes_on_is_warned_of_ever_more_rarely(clock: FakeClock) -> None:
    times = warnings(WarningLimiter(clock), clock, 300, "bad JPEG")
    assert times == [0, 5, 15, 35, 75, 135, 195, 255]


def test_kinds_do_not_silence_each_other(clock: FakeClock) -> None:
    limiter = WarningLimiter(clock)
    assert limiter.due("bad JPEG")
    assert limiter.due("wrong size")
    assert not limiter.due("bad JPEG")


def test_what_was_quiet_for_long_starts_over(clock: FakeClock) -> None:
    limiter = WarningLimiter(clock)
    warnings(limiter, clock, 300, "bad JPEG")
    clock.time += 200.0
    assert warnings(limiter, clock, 40, "bad JPEG") == [0, 5, 15, 35]


def test_a_short_quiet_does_not_start_over(clock: FakeClock) -> None:
    limiter = WarningLimiter(clock)
    warnings(limiter, clock, 40, "bad JPEG")  # the next may come 75 s after the first
    clock.time += 50.0
    assert warnings(limiter, clock, 70, "bad JPEG") == [0, 60]


def test_ever_new_kinds_do_not_fill_the_log(clock: FakeClock) -> None:
    limiter = WarningLimiter(clock)
    warned = sum(limiter.due(f"ignored camera {number}") for number in range(10_000))
    assert warned == MOST_KINDS + 1
    clock.time += 5.0
    assert limiter.due("ignored camera 3")  # those known before still count by themselves
    assert limiter.due("ignored camera 77777")
    assert not limiter.due("ignored camera 88888")


def test_a_tally_starts_at_nothing() -> None:
    reading = Tally().read()
    assert reading == TallyReading(accepted=0, ignored=0, newest_time=0.0, problems={})
    assert reading.rejected == 0


def test_counts() -> None:
    tally = Tally()
    tally.accept(1.7e9)
    tally.accept(1.7e9 + 1, count=15)
    assert [tally.ignore(), tally.ignore()] == [1, 2]
    assert tally.reject("bad JPEG") == 1
    assert tally.reject("kernel drop", 40) == 40
    assert tally.reject("bad JPEG") == 2
    reading = tally.read()
    assert reading == TallyReading(16, 2, 1.7e9 + 1, {"bad JPEG": 2, "kernel drop": 40})
    assert reading.rejected == 42


def test_a_reading_does_not_change_afterwards() -> None:
    tally = Tally()
    tally.reject("bad JPEG")
    reading = tally.read()
    tally.reject("bad JPEG")
    tally.reject("wrong size")
    assert reading.problems == {"bad JPEG": 1}

"""The clock is one that only moves when it is told to, or slept on: no test waits."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from fake_clock import EPOCH, PERIOD, FakeClock, next_tick

from vla_inference_ros.core.schedule import Schedule, Tick


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize(
    ("periods", "missed", "late"),
    [(1.0, 0, 0.0), (1.25, 0, 0.25), (1.75, 0, 0.75), (2.25, 1, 0.25), (100.5, 99, 0.5)],
)
@pytest.mark.parametrize("phase", [0.0, PERIOD / 2])
def test_a_late_user_gets_the_newest_tick_at_once(
    clock: FakeClock, periods: float, missed: int, late: float, phase: float
) -> None:
    schedule = Schedule(PERIOD, clock, phase=phase, catch_up=True)
    before = next_tick(schedule)
    assert (before.missed, before.late) == (0, 0.0)
    clock.time += periods * PERIOD
    clock.on_sleep = lambda: pytest.fail("slept")
    newest = before.stamp + int(periods) * PERIOD
    assert next_tick(schedule) == Tick(newest, missed, late * PERIOD)
    clock.on_sleep = lambda: None
    assert next_tick(schedule) == Tick(newest + PERIOD, 0)


def test_catching_up_goes_on_from_a_clock_set_back_while_it_waits(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock, catch_up=True)

    def start_over() -> None:
        clock.time = 10.0
        clock.on_sleep = lambda: None

    next_tick(schedule)
    clock.on_sleep = start_over
    assert next_tick(schedule) == Tick(EPOCH + 10.0 + PERIOD, 0)
    clock.time += 1.5 * PERIOD
    assert next_tick(schedule) == Tick(EPOCH + 10.0 + 2 * PERIOD, 0, 0.5 * PERIOD)


def test_catching_up_waits_for_ticks_that_have_not_come(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock, catch_up=True)
    for number in range(1, 20):
        assert next_tick(schedule) == Tick(EPOCH + 100.0 + number * PERIOD, 0)
        clock.time += 0.99 * PERIOD


def test_catching_up_gives_no_tick_twice_and_loses_none_uncounted(clock: FakeClock) -> None:
    source = random.Random(3)
    schedule = Schedule(PERIOD, clock, catch_up=True)
    ticks = []
    for _ in range(2000):
        ticks.append(next_tick(schedule))
        assert 0.0 <= ticks[-1].late < PERIOD
        assert ticks[-1].late == clock.time - (ticks[-1].stamp - EPOCH)
        clock.time += source.choice([0.0, 0.3, 1.0, 1.2, 1.9, 2.3, 7.1]) * PERIOD
    for before, after in pairwise(ticks):
        assert after.stamp - before.stamp == (after.missed + 1) * PERIOD > 0


@pytest.mark.parametrize("period", [0.1, 0.4, 1 / 3])
def test_catching_up_repeats_no_tick_of_a_period_that_is_not_exact_in_binary(
    clock: FakeClock, period: float
) -> None:
    for start in (0.1, 12_345.6, 1.7e9):
        clock.time = start
        schedule = Schedule(period, clock, phase=0.05, catch_up=True)
        stamps = []
        for number in range(500):
            stamps.append(next_tick(schedule).stamp)
            clock.time = clock.time + number % 3 * period  # as good as at another tick
        assert min(after - before for before, after in pairwise(stamps)) > 0.999 * period


def test_a_user_that_is_always_a_little_slow_loses_only_the_excess(clock: FakeClock) -> None:
    caught = {}
    for catch_up in (False, True):
        clock.time = 100.0
        schedule = Schedule(PERIOD, clock, catch_up=catch_up)
        caught[catch_up] = 0
        while clock.time < 100.0 + 120 * PERIOD:
            next_tick(schedule)
            caught[catch_up] += 1
            clock.time += 1.25 * PERIOD
    assert caught == {False: 60, True: 96}

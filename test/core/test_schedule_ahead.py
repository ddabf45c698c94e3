"""The clock is one that only moves when it is told to, or slept on: no test waits."""

from __future__ import annotations

import threading

import pytest
from fake_clock import EPOCH, PERIOD, FakeClock, next_tick

from vla_inference_ros.core.schedule import Schedule, Tick


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_what_can_be_done_ahead_has_its_time_before_each_tick(clock: FakeClock) -> None:
    schedule, stopping = Schedule(PERIOD, clock), threading.Event()
    for tick in range(1, 4):
        stamp = EPOCH + 100.0 + tick * PERIOD
        assert schedule.wait_until_near(stopping, 0.03125) == stamp
        assert clock.time == 100.0 + tick * PERIOD - 0.03125
        clock.time += 0.015625  # what is done ahead
        assert next_tick(schedule) == Tick(stamp, 0)


def test_near_a_tick_nothing_is_waited_for(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.time += PERIOD - 0.01
    schedule.wait_until_near(threading.Event(), 0.03125)
    assert clock.time == 100.0 + PERIOD - 0.01


def test_a_tick_that_what_is_done_ahead_outlasts_is_late_and_not_missed(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    for tick in range(1, 3):
        schedule.wait_until_near(threading.Event(), 0.03125)
        clock.time += 0.046875
        assert next_tick(schedule) == Tick(EPOCH + 100.0 + tick * PERIOD, 0, 0.015625)


def test_a_tick_that_had_passed_before_is_missed_all_the_same(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.time += 1.25 * PERIOD
    schedule.wait_until_near(threading.Event(), 0.03125)
    assert next_tick(schedule) == Tick(EPOCH + 100.0 + 2 * PERIOD, 1)


def test_a_tick_that_has_passed_is_near(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.time += 1.5 * PERIOD  # as simulated time does
    schedule.wait_until_near(threading.Event(), 0.01)
    assert clock.time == 100.0 + 1.5 * PERIOD


def test_a_clock_that_is_set_back_is_not_waited_for(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.time -= 50.0
    schedule.wait_until_near(threading.Event(), 0.01)
    assert clock.time == 50.0


def test_waiting_to_be_near_ends_when_it_is_to_stop(clock: FakeClock) -> None:
    stopping = threading.Event()
    clock.on_sleep = stopping.set
    Schedule(100.0, clock).wait_until_near(stopping, 0.01)
    assert clock.time < 101.0


def test_a_clock_that_jumps_over_a_tick_while_it_is_near_misses_none(clock: FakeClock) -> None:
    """As simulated time does."""
    schedule = Schedule(PERIOD, clock)
    clock.lateness = 0.75 * PERIOD
    schedule.wait_until_near(threading.Event(), 0.03125)
    tick = next_tick(schedule)
    assert (tick.stamp, tick.missed) == (EPOCH + 100.0 + PERIOD, 0)
    assert tick.late > 0


def test_simulated_time_that_begins_while_it_waits_has_missed_nothing() -> None:
    clock = FakeClock(0.0)

    def begin() -> None:
        clock.on_sleep = lambda: None
        clock.time = 100.0 * PERIOD + 0.0625

    clock.on_sleep = begin
    schedule = Schedule(PERIOD, clock)
    stamp = schedule.wait_until_near(threading.Event(), 0.03125)
    assert stamp == EPOCH + 101.0 * PERIOD
    assert clock.time == 101.0 * PERIOD - 0.03125
    assert next_tick(schedule) == Tick(stamp, 0)


def test_simulated_time_that_began_before_it_waits_has_missed_nothing() -> None:
    clock = FakeClock(0.0)
    schedule = Schedule(PERIOD, clock)
    clock.time = 100.0 * PERIOD + 0.0625
    assert next_tick(schedule) == Tick(EPOCH + 101.0 * PERIOD, 0)

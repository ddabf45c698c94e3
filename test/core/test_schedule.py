"""The clock is one that only moves when it is told to, or slept on: no test waits."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from fake_clock import EPOCH, PERIOD, FakeClock, next_tick

from vla_inference_ros.core.schedule import Schedule, SteadyClock, Tick


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[False, True], ids=["in time", "catch up"])
def catch_up(request: pytest.FixtureRequest) -> bool:
    """Both kinds of schedule, for what they have in common."""
    return bool(request.param)


def test_ticks_lie_on_multiples_of_the_period(clock: FakeClock) -> None:
    clock.time = 100.06
    schedule = Schedule(PERIOD, clock)
    ticks = [next_tick(schedule) for _ in range(50)]
    assert [tick.stamp for tick in ticks] == [EPOCH + 100.125 + n * PERIOD for n in range(50)]
    assert {tick.missed for tick in ticks} == {0}


@pytest.mark.parametrize("phase", [PERIOD / 2, PERIOD / 16, -PERIOD / 4, 10.25 * PERIOD])
def test_ticks_are_shifted_by_the_phase(clock: FakeClock, phase: float) -> None:
    schedule = Schedule(PERIOD, clock, phase=phase)
    ticks = [next_tick(schedule) for _ in range(20)]
    assert [tick.stamp for tick in ticks] == [
        EPOCH + 100.0 + phase % PERIOD + n * PERIOD for n in range(20)
    ]
    assert {(tick.missed, tick.late) for tick in ticks} == {(0, 0.0)}


def test_a_clock_before_its_first_phase_waits_for_it() -> None:
    schedule = Schedule(PERIOD, FakeClock(PERIOD / 8), phase=PERIOD / 2)
    assert next_tick(schedule) == Tick(EPOCH + PERIOD / 2, 0)
    assert next_tick(schedule) == Tick(EPOCH + PERIOD / 2 + PERIOD, 0)


def test_long_work_misses_shifted_ticks_too(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock, phase=PERIOD / 2)
    before = next_tick(schedule)
    clock.time += 2.75 * PERIOD
    assert next_tick(schedule) == Tick(before.stamp + 3 * PERIOD, 2)


def test_no_tick_comes_before_it_is_due(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    for _ in range(20):
        tick = next_tick(schedule)
        assert clock.time >= tick.stamp - EPOCH


def test_a_period_that_is_not_exact_in_binary_neither_drifts_nor_repeats(clock: FakeClock) -> None:
    for start in (0.1, 12_345.6, 1.7e9):
        clock.time = start
        schedule = Schedule(0.1, clock)
        stamps = [next_tick(schedule).stamp for _ in range(500)]
        assert stamps[-1] - stamps[0] == pytest.approx(49.9, abs=1e-5)
        assert min(after - before for before, after in pairwise(stamps)) > 0.0999


def test_all_schedules_of_a_host_share_their_phase(clock: FakeClock) -> None:
    fast = Schedule(PERIOD, clock)
    fast_stamps = [next_tick(fast).stamp for _ in range(9)]
    clock.time = 100.3
    slow = Schedule(4 * PERIOD, clock)
    assert next_tick(slow).stamp in fast_stamps
    assert next_tick(slow).stamp in fast_stamps


def test_work_within_the_period_misses_nothing(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    for number in range(1, 20):
        tick = next_tick(schedule)
        assert tick == Tick(EPOCH + 100.0 + number * PERIOD, 0)
        clock.time += 0.99 * PERIOD


@pytest.mark.parametrize("periods", [1.0, 1.5, 2.9, 3.0, 100.25])
def test_long_work_misses_ticks_which_are_counted_and_not_made_up_for(
    clock: FakeClock, periods: float
) -> None:
    schedule = Schedule(PERIOD, clock)
    before = next_tick(schedule)
    clock.time += periods * PERIOD
    after = next_tick(schedule)
    assert after.missed == int(periods)
    assert after.stamp == before.stamp + (after.missed + 1) * PERIOD
    assert clock.time == after.stamp - EPOCH  # waited for it: no tick right behind the work
    assert next_tick(schedule) == Tick(after.stamp + PERIOD, 0)


def test_every_tick_is_either_given_or_counted(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    ticks = []
    for number in range(40):
        ticks.append(next_tick(schedule))
        clock.time += PERIOD * (0.2, 1.7, 0.9, 4.3)[number % 4]
    for before, after in pairwise(ticks):
        assert after.stamp - before.stamp == (after.missed + 1) * PERIOD


def test_waking_late_gives_the_newest_tick_and_counts_those_before_it(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.lateness = 2.5 * PERIOD
    tick = next_tick(schedule)
    assert (tick.stamp, tick.missed) == (EPOCH + 100.0 + 2 * PERIOD, 1)
    assert 0.0 < tick.late == clock.time - 100.0 - 2 * PERIOD
    clock.lateness = 0.0
    assert next_tick(schedule) == Tick(EPOCH + 100.0 + 3 * PERIOD, 0)


def test_waking_a_little_late_does_not_move_the_ticks(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)
    clock.lateness = 0.01 * PERIOD
    ticks = [next_tick(schedule) for _ in range(100)]
    assert (ticks[-1].stamp, ticks[-1].missed) == (EPOCH + 100.0 + 100 * PERIOD, 0)
    assert [tick.late for tick in ticks] == pytest.approx([0.01 * PERIOD] * 100)


@pytest.mark.parametrize("back", [99.9, 50.0, 3 * PERIOD])
def test_a_clock_set_back_between_ticks_goes_on_from_there(
    clock: FakeClock, catch_up: bool, back: float
) -> None:
    schedule = Schedule(PERIOD, clock, catch_up=catch_up)
    next_tick(schedule)
    clock.time -= back
    restarted = clock.time
    tick = next_tick(schedule)
    assert tick.missed == 0
    assert tick.stamp - EPOCH - restarted < 2 * PERIOD
    assert next_tick(schedule) == Tick(tick.stamp + PERIOD, 0)


def test_a_clock_set_back_while_waiting_goes_on_from_there(clock: FakeClock) -> None:
    schedule = Schedule(PERIOD, clock)

    def start_over() -> None:
        clock.time = 10.0
        clock.on_sleep = lambda: None

    next_tick(schedule)
    clock.time += 3 * PERIOD
    clock.on_sleep = start_over
    assert next_tick(schedule) == Tick(EPOCH + 10.0 + PERIOD, 3)  # those before were missed
    assert next_tick(schedule) == Tick(EPOCH + 10.0 + 2 * PERIOD, 0)


def test_a_bag_that_loops_again_and_again_keeps_ticking(clock: FakeClock, catch_up: bool) -> None:
    schedule = Schedule(PERIOD, clock, catch_up=catch_up)
    ticks: list[Tick] = []
    for _ in range(5):
        clock.time = 100.0
        ticks += [next_tick(schedule) for _ in range(40)]
        assert clock.time == pytest.approx(100.0 + 40 * PERIOD, abs=2 * PERIOD)
    assert {tick.missed for tick in ticks} == {0}


@pytest.mark.parametrize("back", [0.3, 0.7])
def test_a_clock_set_back_a_little_gives_no_tick_twice(
    clock: FakeClock, catch_up: bool, back: float
) -> None:
    schedule = Schedule(PERIOD, clock, catch_up=catch_up)
    stamps = []
    for _ in range(10):
        stamps.append(next_tick(schedule).stamp)
        clock.time -= back * PERIOD
    assert stamps == [EPOCH + 100.0 + number * PERIOD for number in range(1, 11)]


@pytest.mark.parametrize("phase", [0.0, PERIOD / 2])
def test_simulated_time_that_starts_late_misses_no_ticks(catch_up: bool, phase: float) -> None:
    clock = FakeClock(0.0)
    schedule = Schedule(PERIOD, clock, phase=phase, catch_up=catch_up)

    def begin() -> None:
        clock.time = 1e9 + 0.75 * PERIOD
        clock.on_sleep = lambda: None

    clock.on_sleep = begin
    assert next_tick(schedule) == Tick(EPOCH + 1e9 + phase + PERIOD, 0)
    assert next_tick(schedule) == Tick(EPOCH + 1e9 + phase + 2 * PERIOD, 0)


def test_stop_ends_a_long_wait_within_a_slice(clock: FakeClock) -> None:
    schedule, stopping = Schedule(3600.0, clock), threading.Event()
    sleeps = []

    def stop_after_three() -> None:
        sleeps.append(clock.time)
        if len(sleeps) == 3:
            stopping.set()

    clock.on_sleep = stop_after_three
    assert schedule.wait(stopping) is None
    assert len(sleeps) == 3
    assert clock.longest_sleep <= 0.0501


def test_stop_that_was_set_before_gives_no_tick(clock: FakeClock) -> None:
    stopping = threading.Event()
    stopping.set()
    clock.on_sleep = lambda: pytest.fail("slept")
    assert Schedule(PERIOD, clock).wait(stopping) is None


@pytest.mark.parametrize("period", [0.0, -0.1, float("nan")])
def test_a_period_that_is_none_is_refused(period: float) -> None:
    with pytest.raises(ValueError, match=r"period is .* not positive"):
        Schedule(period)


def test_the_steady_clock_is_monotonic_and_knows_the_time_of_day() -> None:
    clock = SteadyClock()
    assert time.monotonic() <= clock.now() <= time.monotonic()
    # Other programs may come between the readings, but not always.
    assert min(abs(clock.to_unix(clock.now()) - time.time()) for _ in range(20)) < 0.01
    clock.sleep_until(clock.now() - 1000.0)  # returns at once
    deadline = clock.now() + 0.02
    clock.sleep_until(deadline)
    assert deadline <= clock.now() + 0.001


def test_without_a_clock_it_is_the_steady_one() -> None:
    tick = next_tick(Schedule(0.01))
    assert tick.stamp == pytest.approx(time.time(), abs=1.0)


def test_nobody_sleeps_while_a_deadline_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late wake-up then makes no tick late, nor is a tick given before it is due."""
    slept: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds + 0.0015  # woken late

    def monotonic() -> float:
        now[0] += 1e-6
        return now[0]

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", monotonic)
    schedule = Schedule(PERIOD, SteadyClock(awake=0.002))
    for _ in range(20):
        tick = next_tick(schedule)
        assert 0.0 <= tick.late < 1e-5
    assert sum(slept) > 0.9 * 20 * PERIOD - PERIOD

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator

import pytest

from vla_inference_ros.core.statistics import RateMeter, SlidingStatistics, Summary


def test_no_values_are_all_zeros() -> None:
    assert SlidingStatistics().summary(now=1e6) == Summary(0, 0.0, 0.0, 0.0, 0.0)


def test_one_value_is_every_percentile() -> None:
    statistics = SlidingStatistics()
    statistics.add(10.0, 0.381)
    assert statistics.summary(11.0) == Summary(1, 0.381, 0.381, 0.381, 0.381)


def test_mean_and_percentiles() -> None:
    statistics = SlidingStatistics()
    for value in range(101):
        statistics.add(0.0, value)
    assert statistics.summary(0.0) == Summary(101, 50.0, 50.0, 95.0, 99.0)


def test_values_older_than_the_span_are_left_out() -> None:
    statistics = SlidingStatistics(span=60.0)
    for time in range(100):
        statistics.add(float(time), float(time))
    assert statistics.summary(99.0) == Summary(61, 69.0, 69.0, 96.0, 98.4)
    assert statistics.summary(158.5).count == 1
    assert statistics.summary(159.0).count == 1
    assert statistics.summary(159.1) == Summary()


def test_deviation_is_absolute() -> None:
    statistics = SlidingStatistics()
    for value in (0.08, 0.1, 0.13):
        statistics.add(0.0, value)
    summary = statistics.summary(0.0, deviation_from=0.1)
    assert summary.mean == pytest.approx(0.05 / 3)
    assert summary.p50 == pytest.approx(0.02)
    assert statistics.summary(0.0).p50 == 0.1  # the values themselves are kept


# --- deadline


def test_values_over_the_deadline_are_misses() -> None:
    statistics = SlidingStatistics(deadline=0.1)
    for value in (0.05, 0.1, math.nextafter(0.1, 1.0), 3.0, 0.0):
        statistics.add(0.0, value)
    summary = statistics.summary(0.0)
    assert (summary.count, summary.misses) == (5, 2)
    assert statistics.deadline == 0.1


def test_misses_are_forgotten_with_their_values() -> None:
    statistics = SlidingStatistics(span=60.0, deadline=0.1)
    for time, value in ((0.0, 5.0), (30.0, 5.0), (59.0, 0.01)):
        statistics.add(time, value)
    misses = [statistics.summary(now).misses for now in (60.0, 60.5, 90.0, 90.5, 200.0)]
    assert misses == [2, 1, 1, 0, 0]


def test_without_a_deadline_nothing_is_a_miss() -> None:
    statistics = SlidingStatistics()
    statistics.add(0.0, 1e300)
    assert statistics.summary(0.0).misses == 0


# --- warm-up


def test_values_of_the_warm_up_count_until_there_is_a_later_one() -> None:
    statistics = SlidingStatistics(warm_up=5.0, deadline=1.0)
    for time, value in ((100.0, 9.0), (103.0, 2.0), (105.0, 4.0)):
        statistics.add(time, value)
    assert statistics.summary(130.0) == Summary(3, 5.0, 4.0, 8.5, 8.9, 3)
    statistics.add(130.0, 0.3)
    assert statistics.summary(130.0) == Summary(1, 0.3, 0.3, 0.3, 0.3, 0)


def test_only_the_warm_up_is_dropped() -> None:
    statistics = SlidingStatistics(warm_up=5.0)
    for time in range(40):
        statistics.add(100.0 + time, float(time))
    summary = statistics.summary(140.0)
    assert (summary.count, summary.mean) == (34, 22.5)  # 6 to 39


def test_the_warm_up_counts_from_the_first_value_whenever_it_comes() -> None:
    statistics = SlidingStatistics(warm_up=5.0)
    assert statistics.summary(1000.0).count == 0
    statistics.add(1000.0, 1.0)
    statistics.add(1004.0, 2.0)
    assert statistics.summary(1004.0).count == 2


def test_without_a_warm_up_every_value_stays() -> None:
    statistics = SlidingStatistics()
    for time in (0.0, 0.0, 1.0, 59.0):
        statistics.add(time, 1.0)
    assert statistics.summary(59.0).count == 4


# --- threads


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads that take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_one_thread_may_add_while_another_asks() -> None:
    statistics = SlidingStatistics(span=500.0)
    stopping = threading.Event()

    def add() -> None:
        time = 0.0
        while not stopping.is_set():
            time += 1.0
            statistics.add(time, time)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        summaries = [statistics.summary(0.0) for _ in range(300)]
    finally:
        stopping.set()
        thread.join()
    assert max(summary.count for summary in summaries) > 1
    assert all(summary.count <= 501 for summary in summaries)


# --- rates


def test_rate_is_zero_at_first() -> None:
    assert RateMeter().rate(100.0, 500) == 0.0


def test_rate_follows_the_last_seconds() -> None:
    meter = RateMeter(span=5.0)
    for second in range(11):
        slow = meter.rate(float(second), 10 * second)
    assert slow == pytest.approx(10.0)
    rates = [meter.rate(11.0 + second, 100) for second in range(7)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.0
    assert rates[-1] == 0.0


def test_rate_from_readings_further_apart_than_the_span() -> None:
    meter = RateMeter(span=5.0)
    meter.rate(0.0, 0)
    meter.rate(60.0, 600)
    assert meter.rate(120.0, 1800) == pytest.approx(20.0)


def test_two_readings_at_one_time_give_no_rate() -> None:
    meter = RateMeter()
    meter.rate(5.0, 1)
    assert meter.rate(5.0, 9) == 0.0
    assert meter.rate(6.0, 9) == pytest.approx(8.0)


def test_rate_goes_on_after_simulated_time_started_over() -> None:
    meter = RateMeter(span=5.0)
    for loop in range(3):
        for second in range(20):
            rate = meter.rate(float(second), 10 * (20 * loop + second))
            assert rate == pytest.approx(0.0 if second == 0 else 10.0)

from __future__ import annotations

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

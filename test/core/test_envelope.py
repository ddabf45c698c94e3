from __future__ import annotations

import random

import pytest

from vla_inference_ros.core.envelope import Envelope

RATE = 44.0


def followed(seconds: float, slope: float, delays: dict[float, float] | None = None) -> Envelope:
    """An envelope after an offset of 1.5 s at first, and 0 to 2 ms of delay, and from each instant
    in ``delays`` on so much more.
    """
    source = random.Random(1)
    envelope = Envelope(0.0, 1.5)
    for packet in range(1, int(seconds * RATE)):
        time = packet / RATE
        added = [delay for since, delay in (delays or {}).items() if time >= since]
        envelope.add(time, 1.5 + slope * time + source.uniform(0.0, 0.002) + sum(added[-1:]))
    return envelope


@pytest.mark.parametrize("slope", [0.0, 80e-6, -80e-6, 400e-6, -400e-6])
def test_it_finds_offset_and_slope(slope: float) -> None:
    envelope = followed(30.0, slope)
    assert envelope.slope == pytest.approx(slope, abs=5e-6)
    assert envelope.at(30.0) == pytest.approx(1.5 + slope * 30.0, abs=2e-4)
    assert envelope.packets == int(30 * RATE)


def test_the_slope_is_zero_until_ten_seconds_tell_it() -> None:
    assert followed(9.0, 80e-6).slope == 0.0
    assert followed(13.0, 80e-6).slope == pytest.approx(80e-6, abs=10e-6)


def test_a_slope_beyond_any_quartz_is_not_learnt() -> None:
    assert abs(followed(60.0, 0.01).slope) <= 500e-6
    assert followed(60.0, -0.01).slope >= -500e-6


def test_it_never_stays_above_a_difference() -> None:
    envelope = Envelope(0.0, 1.5)
    source = random.Random(2)
    for packet in range(1, 3000):
        time, difference = packet / 10, source.uniform(1.0, 2.0)
        envelope.add(time, difference)
        assert envelope.at(time) <= difference + 1e-12


def test_a_lasting_delay_is_followed_by_less_than_a_millisecond_a_minute() -> None:
    alone = followed(100.0, 50e-6).at(100.0)
    for seconds in (130.0, 190.0, 400.0):
        slower = followed(seconds, 50e-6, {100.0: 0.2}).at(seconds)
        minutes = (seconds - 100.0) / 60
        assert slower - alone - 50e-6 * (seconds - 100.0) < 0.0002 + 0.001 * minutes


def test_a_delay_that_grows_evenly_is_not_taken_for_drift_once_that_is_known() -> None:
    envelope, source = followed(60.0, 0.0), random.Random(4)
    for packet in range(round(400 * RATE)):
        time = 60.0 + packet / RATE
        envelope.add(time, 1.5 + 200e-6 * (time - 60.0) + source.uniform(0.0, 0.002))
    assert envelope.at(460.0) < 1.5 + 0.015  # of 0.08
    assert envelope.slope < 100e-6


def test_it_returns_to_the_line_at_once_when_a_lasting_delay_ends() -> None:
    envelope = followed(302.0, 50e-6, {100.0: 0.2, 300.0: 0.0})
    assert envelope.at(302.0) == pytest.approx(1.5 + 50e-6 * 302, abs=3e-4)


def test_uncertainty_shows_jitter_lasting_delay_and_time_since() -> None:
    quiet, late = followed(60.0, 0.0), followed(200.0, 0.0, {100.0: 0.2})
    assert 0 < quiet.uncertainty(60.0) < 0.0005
    assert quiet.uncertainty(660.0) >= quiet.uncertainty(60.0) + 0.005
    assert late.uncertainty(200.0) > 0.19


def test_a_shift_moves_it_and_all_it_remembers() -> None:
    envelope = followed(60.0, 80e-6)
    before = envelope.at(60.0)
    envelope.shift(3.0)
    assert envelope.at(60.0) == pytest.approx(before + 3.0, abs=1e-9)
    for packet in range(1, 200):
        time = 60.0 + packet / RATE
        envelope.add(time, 4.5 + 80e-6 * time + 0.001)
    assert envelope.at(64.0) == pytest.approx(4.5 + 80e-6 * 64, abs=2e-4)
    assert envelope.slope == pytest.approx(80e-6, abs=5e-6)


def test_times_in_any_order_do_no_harm() -> None:
    source = random.Random(3)
    envelope = Envelope(0.0, 1.5)
    for packet in range(2000):
        envelope.add(packet / 20 + source.uniform(-3.0, 3.0), 1.5 + source.uniform(0.0, 0.002))
    assert envelope.at(100.0) == pytest.approx(1.5, abs=1e-3)


def test_a_slope_that_a_few_seconds_taught_wrongly_is_mended() -> None:
    """The network becomes quicker for some seconds, as after a start, and then stays so."""
    envelope = Envelope(0.0, 1.5 + 0.003)
    for packet in range(1, int(180 * RATE)):
        time = packet / RATE
        envelope.add(time, 1.5 + max(0.0, 0.003 * (1 - time / 8)))
    assert envelope.at(180.0) == pytest.approx(1.5, abs=0.001)
    assert abs(envelope.slope) < 20e-6


def test_a_few_early_differences_lower_the_line_but_not_what_is_usual() -> None:
    envelope = Envelope(0.0, 2.0)
    for second in range(1, 40):
        envelope.add(second, 1.9 if second in (20, 30) else 2.0)
    assert envelope.at(40.0) == pytest.approx(1.9)
    assert envelope.usual(40.0) == pytest.approx(2.0)
    envelope.shift(3.0)
    assert envelope.usual(40.0) == pytest.approx(5.0)

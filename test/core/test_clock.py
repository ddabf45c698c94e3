from __future__ import annotations

import random

import pytest

from vla_inference_ros.core.clock import CALIBRATION_PACKETS, ClockOffset

NOW = 1.7e9


def test_it_is_learnt_over_the_first_50_packets() -> None:
    assert CALIBRATION_PACKETS == 50
    clock = ClockOffset()
    assert (clock.offset, clock.calibrated) == (0.0, False)
    for packet in range(49):
        clock.update(NOW + packet, NOW + packet + 2.0)
        assert not clock.calibrated
    clock.update(NOW + 49, NOW + 51)
    assert clock.calibrated


def test_the_first_packet_counts_even_if_its_offset_is_above_zero() -> None:
    clock = ClockOffset()
    clock.update(NOW, NOW + 12.5)
    assert clock.offset == 12.5


@pytest.mark.parametrize("offset", [-3600.25, 0.0, 0.125, 86_400.0])
def test_the_smallest_delay_wins_wherever_it_comes(offset: float) -> None:
    delays = [0.0005 + delay for delay in (0.02, 0.3, 0.004, 0.0, 0.08, 0.001)]
    clock = ClockOffset(len(delays))
    for index, delay in enumerate(delays):
        clock.update(NOW + index, NOW + index + offset + delay)
    assert clock.offset == pytest.approx(offset + 0.0005, abs=1e-6)


def test_it_only_ever_comes_down_to_the_lower_envelope() -> None:
    source = random.Random(1)
    clock, seen = ClockOffset(200), []
    for index in range(200):
        delay = source.expovariate(500.0)
        clock.update(NOW + index, NOW + index + 1.0 + delay)
        seen.append(clock.offset)
    assert seen == sorted(seen, reverse=True)
    assert 1.0 <= seen[-1] < 1.0001


def test_it_does_not_change_once_it_is_final() -> None:
    clock = ClockOffset(2)
    clock.update(NOW, NOW + 5.0)
    clock.update(NOW + 1, NOW + 5.75)
    clock.update(NOW + 2, NOW)  # the sender's clock was set
    assert clock.offset == 4.75
    assert clock.calibrated

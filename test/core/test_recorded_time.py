from __future__ import annotations

import pytest

from vla_inference_ros.core.recorded_time import RecordedTime

START = 1_700_000_000_250_000_000  # [ns]
NEVER = 2**62
SECOND = 1_000_000_000


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_it_runs_at_its_rate(rate: float) -> None:
    clock = RecordedTime(START, rate, 100.0)
    assert clock.now(100.0, NEVER) == START
    assert clock.now(108.0, NEVER) == START + round(8 * rate * SECOND)
    assert clock.steady(START + round(8 * rate * SECOND)) == 108.0


def test_it_does_not_pass_what_is_still_to_happen() -> None:
    clock = RecordedTime(START, 1.0, 100.0)
    assert clock.now(110.0, START + SECOND) == START + SECOND
    assert clock.now(110.0, START + 2 * SECOND) == START + 2 * SECOND  # late, it catches up


def test_it_never_goes_back() -> None:
    clock = RecordedTime(START, 1.0, 100.0)
    latest = clock.now(105.0, NEVER)
    assert clock.now(103.0, NEVER) == latest
    assert clock.now(105.0, START) == latest


def test_a_rate_that_is_none_is_refused() -> None:
    for rate in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="not above 0"):
            RecordedTime(START, rate, 0.0)

import threading
import time

import pytest

from vla_inference_ros.sim.pace import Pace


def test_ticks_are_exactly_one_period_apart() -> None:
    pace, stop = Pace(200.0), threading.Event()
    ticks = [pace.wait(stop) for _ in range(10)]
    for number, tick in enumerate(ticks):
        assert tick is not None
        assert ticks[0] is not None
        assert tick.number - ticks[0].number >= number
        assert abs(tick.due - ticks[0].due - (tick.number - ticks[0].number) / 200.0) < 1e-6
        assert tick.due <= time.time() + 0.001


def test_being_late_skips_whole_groups_and_counts_them() -> None:
    pace, stop = Pace(1000.0, group=5), threading.Event()
    assert pace.wait(stop) is not None
    time.sleep(0.05)  # the work that took too long
    tick = pace.wait(stop)
    assert tick is not None
    assert pace.skipped >= 45
    assert pace.skipped % 5 == 0
    assert tick.number == 1 + pace.skipped


def test_stop_ends_the_wait_at_once() -> None:
    pace, stop = Pace(0.001), threading.Event()
    assert pace.wait(stop) is not None
    stop.set()
    assert pace.wait(stop) is None


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="not above 0"):
        Pace(rate)

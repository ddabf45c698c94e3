"""Backlogs that drain hardly faster than they grow, so that a clock seems to be learnt in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from vla_inference_ros.core.clock import HostClock

UNIX = 1.8e9
WAITED = 3.0  # how late the first packet of a backlog is [s]
UNNOTICED = 10.0  # after the clock seems to be learnt [s]


def played(
    rate: float, arrival: Callable[[float], float], until: float, set_ahead: float = 0.0
) -> Iterator[tuple[float, float, bool, str]]:
    """(when a packet came [s], its true age, whether its clock is known, what is said), of packets
    that each come at ``arrival`` of their time of sending. This host's clock is set in the middle.
    """
    clock, came = HostClock(), 0.0
    for number in range(round(until * rate)):
        sent = number / rate
        came = max(came, arrival(sent))
        own = set_ahead if came > until / 2 else 0.0
        observation = clock.observe(
            newest_time=UNIX + sent - 0.01,
            send_time=UNIX + sent,
            receive_time=UNIX + came + own,
            steady_time=came,
        )
        yield came, came - sent, clock.read().calibrated, observation.notice


@pytest.mark.parametrize("set_ahead", [0.0, 5.0])
@pytest.mark.parametrize("speed", [1.002, 1.005, 1.0095])
@pytest.mark.parametrize("rate", [5.0, 30.0, 100.0])
def test_a_backlog_that_drains_slowly_is_noticed_and_waited_for(
    rate: float, speed: float, set_ahead: float
) -> None:
    jitter = random.Random(1)

    def arrival(sent: float) -> float:
        return max(sent, WAITED + sent / speed) + jitter.expovariate(2000)

    drained = WAITED / (1 - 1 / speed)
    packets = list(played(rate, arrival, drained + 10, set_ahead))
    learnt = next((came for came, _, known, _ in packets if known), drained)
    late = [
        came for came, age, known, _ in packets if known and age > 0.1 and came > learnt + UNNOTICED
    ]
    assert not late
    after = [known for came, _, known, _ in packets if came > drained + 3.0]
    assert after
    assert all(after)
    told = [notice for *_, notice in packets if "drains slowly" in notice]
    assert len(told) == (learnt < drained)


@pytest.mark.parametrize(("rate", "delay"), [(5.0, 0.03), (30.0, 0.005), (100.0, 0.03)])
def test_a_busy_machine_is_no_backlog(rate: float, delay: float) -> None:
    for seed in range(5):
        jitter = random.Random(seed)
        arrival = lambda sent, jitter=jitter: sent + jitter.expovariate(1 / delay)  # noqa: E731
        packets = list(played(rate, arrival, 60.0))
        learnt = next(came for came, _, known, _ in packets if known)
        assert all(known for came, _, known, _ in packets if came >= learnt)


@pytest.mark.parametrize("drift", [500e-6, -500e-6])
def test_drift_is_no_backlog(drift: float) -> None:
    packets = list(played(30.0, lambda sent: sent * (1 + drift) + 1.0, 60.0))
    assert all(known for came, _, known, _ in packets if came >= 3.0)
    assert not any("drains" in notice for *_, notice in packets)

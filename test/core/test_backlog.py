"""A sender that ran before the receiver did: what has waited comes first, faster than it was sent.

No real clock and no sleep: the packets' way is made up. Whenever the clock says that it is known,
its offset must be right, whatever the backlog was like; and soon after it, it must be known.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from vla_inference_ros.core.clock import CALIBRATION_PACKETS, CALIBRATION_TIME, HostClock

NOW = 1.7e9
LEAST_DELAY = 0.0002
RIGHT = 0.015  # what a jitter of a few milliseconds leaves open after a second [s]
AFTER = 20.0  # so long packets come after the backlog [s]


@dataclass(frozen=True, slots=True)
class Backlog:
    """``rate`` packets/s of which ``seconds`` wait when the receiver begins to take them, ``pace``
    times as fast as they were sent; every ``stall_every`` seconds it stands still for ``stall``.
    """

    rate: float = 30.0
    seconds: float = 33.0
    pace: float = 50.0
    stall_every: float = 1e9
    stall: float = 0.0
    jitter: float = 0.001
    loss: float = 0.0
    offset: float = 3600.0  # what is to be added to the sender's times
    waits: float = 0.06  # from acquisition to sending
    seed: int = 1

    def arrivals(self) -> Iterator[tuple[float, float]]:
        """(when it was sent, when it comes), both by the true time; it begins to be read at 0."""
        dice = random.Random(self.seed)
        busy_until, next_stall = 0.0, self.stall_every
        fresh_since = math.inf
        for number in itertools.count():
            sent = number / self.rate - self.seconds
            if sent > fresh_since + AFTER:
                return
            if dice.random() < self.loss:
                continue
            reached = sent + LEAST_DELAY + dice.expovariate(1 / self.jitter)
            arrival = max(reached, busy_until)
            if arrival >= next_stall:
                arrival += self.stall
                next_stall = arrival + self.stall_every
            busy_until = arrival + 1 / (self.rate * self.pace)
            if arrival - reached <= self.stall:
                fresh_since = min(fresh_since, arrival)
            yield sent, arrival


@dataclass(frozen=True, slots=True)
class Seen:
    """A packet as the clock takes it; ``error`` [s] is how much too young it looks."""

    sent: float
    arrival: float
    error: float
    known: bool
    backlog: bool
    steps: int


def observed(
    backlog: Backlog, clock: HostClock, *, sends_time: bool = True, later: float = 0.0
) -> list[Seen]:
    """What the clock makes of a backlog and of what comes after it, ``later`` [s] than at first."""
    seen = []
    for sent, arrival in backlog.arrivals():
        by_sender = NOW + later + sent - backlog.offset
        observation = clock.observe(
            newest_time=by_sender - backlog.waits,
            send_time=by_sender if sends_time else None,
            receive_time=NOW + later + arrival,
            steady_time=1000.0 + later + arrival,
        )
        reading = clock.read()
        error = observation.offset - backlog.offset
        seen.append(Seen(sent, arrival, error, reading.calibrated, clock.backlog, reading.steps))
    return seen


def check(backlog: Backlog, seen: list[Seen]) -> None:
    wrong = [each for each in seen if each.known and not -RIGHT <= each.error <= RIGHT]
    assert not wrong, wrong[0]
    if not backlog.stall:  # otherwise there is no one moment at which it is over
        fresh = next(each.arrival for each in seen if each.arrival - each.sent < 0.05)
        limit = fresh + max(CALIBRATION_TIME, CALIBRATION_PACKETS / backlog.rate) + 0.5
        assert all(each.known for each in seen if each.arrival > limit)
    assert seen[-1].known
    assert seen[-1].steps == 0


@pytest.mark.parametrize("rate", [5.0, 15.0, 30.0, 44.0, 100.0])
@pytest.mark.parametrize("pace", [1.2, 1.5, 3.0, 50.0, 1e4])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 33.0])
def test_a_clock_is_never_learnt_inside_a_backlog(rate: float, pace: float, seconds: float) -> None:
    backlog = Backlog(rate=rate, pace=pace, seconds=seconds)
    check(backlog, observed(backlog, HostClock()))


@pytest.mark.parametrize("offset", [-3600.0, 0.0, 3600.0])
@pytest.mark.parametrize("jitter", [0.0001, 0.004])
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_offsets_jitter_and_losses_change_nothing(
    offset: float, jitter: float, loss: float
) -> None:
    backlog = Backlog(offset=offset, jitter=jitter, loss=loss, pace=4.0)
    check(backlog, observed(backlog, HostClock()))


@pytest.mark.parametrize("seed", range(30))
def test_a_receiver_that_stands_still_now_and_then_is_not_fooled(seed: int) -> None:
    """As on a machine that is busy: time passes, but the packets after it are as old as before."""
    dice = random.Random(seed)
    stall = dice.choice((0.03, 0.1, 0.3, 1.2, 3.0))
    rate = dice.choice((5.0, 15.0, 30.0, 100.0))
    backlog = Backlog(
        rate=rate,
        seconds=dice.uniform(5.0, 60.0),
        pace=dice.choice((4.0, 20.0, 500.0)),
        stall=stall,
        stall_every=max(dice.choice((1.0, 4.0)) * stall, 5.0 / rate),
        seed=seed,
    )
    check(backlog, observed(backlog, HostClock()))


@pytest.mark.parametrize("pace", [1.5, 50.0])
@pytest.mark.parametrize("waits", [0.03, 0.3])
def test_without_send_times_a_clock_in_step_is_trusted_after_the_backlog_alone(
    pace: float, waits: float
) -> None:
    backlog = Backlog(pace=pace, offset=0.0, waits=waits)
    clock = HostClock()
    seen = observed(backlog, clock, sends_time=False)
    assert [each for each in seen if each.known]
    assert all(each.error == 0.0 for each in seen if each.known)
    assert clock.read().mode == "trust"


@pytest.mark.parametrize("offset", [-3600.0, 3600.0])
def test_without_send_times_ages_by_another_clock_are_lower_bounds(offset: float) -> None:
    backlog = Backlog(offset=offset, pace=4.0)
    clock = HostClock()
    seen = observed(backlog, clock, sends_time=False)
    known = [each for each in seen if each.known]
    assert known[0].sent > -0.1
    assert all(abs(each.error - backlog.waits) <= RIGHT for each in known)
    assert clock.read().lower_bound


def test_a_backlog_is_recognised_and_over_when_packets_come_as_they_are_sent() -> None:
    for rate in (5.0, 30.0, 100.0):
        seen = observed(Backlog(rate=rate, pace=3.0), HostClock())
        fresh = next(n for n, each in enumerate(seen) if each.arrival - each.sent < 0.05)
        assert all(each.backlog for each in seen[40 : fresh - 1])
        assert not any(each.backlog for each in seen[fresh + 10 :])


def test_a_moment_at_which_nothing_is_read_is_no_backlog() -> None:
    clock = HostClock()
    observed(Backlog(rate=100.0, seconds=0.0), clock)
    seen = observed(Backlog(rate=100.0, seconds=0.15, pace=100.0), clock, later=AFTER + 0.15)
    assert not any(each.backlog for each in seen)


def test_a_sender_that_sends_several_packets_at_once_has_no_backlog_and_is_learnt() -> None:
    """As over a wireless link that wakes ten times a second."""
    clock = HostClock()
    known = 0.0
    for number in range(600):
        sent = number / 44.0
        arrival = (int(sent / 0.1) + 1) * 0.1 + 0.0002 * (number % 5)
        clock.observe(
            newest_time=NOW + sent,
            send_time=NOW + sent,
            receive_time=NOW + arrival,
            steady_time=arrival,
        )
        assert not clock.backlog
        known = known or arrival * clock.read().calibrated
    assert 0.0 < known < 6.0


@pytest.mark.parametrize("rate", [5.0, 30.0, 100.0])
@pytest.mark.parametrize("pace", [1.2, 3.0, 1e4])
def test_a_clock_that_was_known_stays_known_and_a_backlog_looks_as_old_as_it_is(
    rate: float, pace: float
) -> None:
    clock = HostClock()
    observed(Backlog(rate=rate, seconds=0.0), clock)
    backlog = Backlog(rate=rate, seconds=40.0, pace=pace)
    seen = observed(backlog, clock, later=AFTER + 40.0)
    assert all(each.known for each in seen)
    assert all(abs(each.error) <= RIGHT for each in seen)
    assert any(each.backlog for each in seen) == (pace > 2.0)
    assert seen[-1].steps == 0


def test_a_clock_that_was_learnt_in_a_backlog_after_all_is_forgotten_at_once() -> None:
    """What waits came exactly as fast as it was sent for a while, and then faster."""
    clock = HostClock()
    even = Backlog(rate=5.0, seconds=0.0)
    observed(replace(even, offset=3630.0), clock)  # all of it 30 s late
    assert clock.read().calibrated
    seen = observed(Backlog(rate=5.0, seconds=30.0, pace=10.0), clock, later=AFTER + 30.0)
    believed = [each for each in seen if each.known and each.error > RIGHT]
    assert len(believed) <= 3
    assert seen[-1].known
    assert abs(seen[-1].error) <= RIGHT

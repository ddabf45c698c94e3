"""Packets whose times tell nothing of their age: not used, and told."""

from __future__ import annotations

import pytest
from stamped_host import CLOSE, LEARNING, PERIOD, SKEW, Host

from vla_inference_ros.core.troubles import BACKLOG, CLOCK_CONTRADICTED
from vla_inference_ros.nodes.sender_stamps import StampError


@pytest.mark.parametrize("known", [True, False])
def test_a_backlog_is_told_and_its_packets_look_as_old_as_they_are(known: bool) -> None:
    host = Host()
    if known:
        host.send(LEARNING + 10)
    host.late = 20.0
    for _ in range(100):  # twice as fast as they were sent
        host.late -= PERIOD / 2
        error, _ = host.send()
        assert host.stamps.known == known
        assert not known or error == pytest.approx(0.0, abs=CLOSE)
    assert BACKLOG in host.report().troubles
    assert any("have waited, at the sender or on the way" in alarm for alarm in host.log.alarms)


def test_what_contradicts_the_clock_is_not_known() -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.skew += 5.0
    host.send()
    assert not host.stamps.known
    host.skew -= 5.0
    host.send()
    assert host.stamps.known


def test_a_clock_that_jumps_about_is_a_trouble_until_it_does_not() -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.stamps.check()
    for packet in range(100):
        host.skew += 100.0 + packet
        host.send()
        with pytest.raises(StampError, match="contradict the clock of the sensor's host"):
            host.stamps.check()
    assert host.report().troubles == [CLOCK_CONTRADICTED]
    assert host.report().clock_uncertainty == -1.0
    host.skew = SKEW
    host.send(10)
    host.stamps.check()
    assert host.stamps.known
    assert host.report().troubles == []


def test_a_single_damaged_time_is_not_used_and_no_trouble_of_the_clock() -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.skew += 5.0
    host.send()
    with pytest.raises(StampError):
        host.stamps.check()
    host.skew -= 5.0
    host.send()
    host.stamps.check()
    assert host.report().troubles == []

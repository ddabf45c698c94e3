"""Packets come at times that the test makes up; the host's two clocks run as they do."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import pytest
from stamped_host import CLOSE, DELAY, LEARNING, PERIOD, SKEW, WAITING, Host

from vla_inference_ros.core.rhythm import LATE_AFTER
from vla_inference_ros.core.troubles import (
    CLOCK_LEARNING,
    CLOCK_STEP,
    LATE,
    MISSING,
    REPEATED,
    SILENT,
)
from vla_inference_ros.nodes.sender_stamps import SenderStamps


class HaltingClocks:
    """Every other reading of the wall clock comes long after that of the monotonic clock."""

    def __init__(self) -> None:
        self.halts = 0
        self._halted = 0.0
        self._just_halted = False

    def monotonic(self) -> float:
        return time.monotonic() + self._halted

    def time(self) -> float:
        self._just_halted = not self._just_halted
        if self._just_halted:
            self.halts += 1
            self._halted += 0.05
        return time.time() + self._halted


def test_a_skewed_senders_times_become_ours_at_once() -> None:
    host = Host()
    for _ in range(2 * LEARNING):
        error, _ = host.send()
        assert error == pytest.approx(0.0, abs=CLOSE)


def test_the_reading_is_returned_and_reported() -> None:
    host = Host()
    _, clock = host.send(LEARNING + 10)
    assert clock == host.stream.clock
    report = host.report()
    assert (report.clock_mode, report.clock_steps) == ("calibrate", 0)
    assert report.clock_offset == clock.offset == pytest.approx(-SKEW, abs=CLOSE)
    assert report.clock_uncertainty == clock.uncertainty >= 0.0
    assert report.clock_drift == clock.drift
    assert not report.clock_lower_bound


def test_before_the_first_packet_the_clock_is_being_learnt() -> None:
    report = Host().report()
    assert (report.clock_mode, report.clock_offset) == ("calibrate", 0.0)
    assert report.clock_uncertainty == -1.0


def test_a_clock_is_learnt_with_as_many_packets_as_that_takes() -> None:
    host = Host()
    _, clock = host.send(LEARNING)
    assert (clock.calibrated, host.report().clock_uncertainty) == (False, -1.0)
    assert not host.stamps.known
    assert host.report().troubles == [CLOCK_LEARNING]
    _, clock = host.send(2)
    assert clock.calibrated
    assert host.stamps.known
    assert host.report().clock_uncertainty >= 0.0
    assert host.report().troubles == []


def test_that_a_clock_has_been_learnt_is_news() -> None:
    host = Host()
    host.send(LEARNING)
    assert (host.log.news, host.log.alarms) == ([], [])
    host.send(LEARNING)
    (told,) = host.log.news
    assert told.startswith("sensor: clock of the sensor's host: clock offset +1.5")
    assert re.search(f"learnt from {LEARNING + 1}|{LEARNING + 2} packets$", told)
    assert host.log.alarms == []


@pytest.mark.parametrize("step", [20.0, -20.0])
def test_a_step_of_a_clock_that_was_known_is_an_alarm(step: float) -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.skew += step
    error, clock = host.send(10)
    (told,) = host.log.alarms
    assert told.startswith("sensor: clock of the sensor's host: the sender's clock stepped by")
    match = re.search(r"stepped by (\S+) s", told)
    assert match is not None
    assert float(match[1]) == pytest.approx(step, abs=CLOSE)
    assert error == pytest.approx(0.0, abs=CLOSE)
    assert clock.offset == pytest.approx(-SKEW - step, abs=CLOSE)
    report = host.report()
    assert (report.clock_steps, report.clock_uncertainty) == (1, -1.0)


def test_a_step_of_a_clock_is_a_trouble_and_its_packets_are_neither_late_nor_lost() -> None:
    for step in (20.0, -20.0):
        host = Host()
        host.send(LEARNING + 10)
        host.skew += step
        host.send(10)
        assert host.report().troubles == [CLOCK_LEARNING, CLOCK_STEP]


def test_packets_out_of_rhythm_are_troubles_counted_and_told() -> None:
    host = Host()
    host.send(LEARNING + 10)
    assert host.report().troubles == []
    host.late = 0.25
    host.send()
    host.late = 0.0
    host.skip(2)
    host.send(20)
    host.send_again()
    report = host.report()
    assert set(report.troubles) == {LATE, MISSING, REPEATED}
    assert (report.lost, report.repeated, report.overtaken) == (2, 1, 0)
    late, missing, repeated = host.log.alarms
    assert "0.25" in late
    assert "2 packet(s) missing between others (2 so far)" in missing
    assert "has the time of one before (1 so far)" in repeated


def test_of_two_cameras_of_a_view_each_has_its_own_clock() -> None:
    host = Host()
    host.send(LEARNING + 10)
    other = SenderStamps(host.stream, "calibrate", "another host")
    host.skew += 20.0
    host.send(10)
    assert host.report().troubles == [CLOCK_LEARNING, CLOCK_STEP]
    before = len(host.log.alarms)
    for number in range(200):
        now = time.time() + 100.0 + number * PERIOD
        other.observe(now - WAITING, now, now + DELAY)
        host.send()
    assert not [alarm for alarm in host.log.alarms[before:] if "stepped" in alarm]


def test_a_trusted_clock_that_is_behind_makes_packets_late_and_says_why() -> None:
    host = Host("trust")
    host.skew = -0.05
    host.send(20)
    assert host.report().troubles == [LATE]
    (told,) = host.log.alarms
    assert "0.050 s after it was sent, by a clock that is trusted" in told


def test_a_sender_without_send_times_may_have_waited_for_the_next_item() -> None:
    for late, troubles in ((0.9, []), (3.0, [LATE])):
        host = Host(sends_time=False)
        host.send(LEARNING + 10)
        host.late = PERIOD + late * LATE_AFTER
        host.send()
        assert host.report().troubles == troubles


def test_a_slow_sender_whose_clock_is_set_back_is_not_silent() -> None:
    host = Host()
    host.period = 0.2
    host.send(LEARNING + 10)
    host.skew -= 2.0
    rhythm = host.stream.rhythm
    assert rhythm is not None
    for _ in range(10):
        host.send()
        assert not rhythm.silent(host.steady_now() + 0.19)


def test_where_the_way_here_cannot_be_timed_no_packet_is_late() -> None:
    for mode, sends_time in (("trust", False), ("calibrate", True)):
        host = Host(mode, sends_time=sends_time)
        host.skew = 0.0
        host.late = 5.0  # for good: the quickest that there are
        host.send(20)
        assert LATE not in host.report().troubles


def test_a_sender_that_stops_is_news_and_so_is_its_return(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.stream.report(0.0)  # that its clock was learnt has been told
    assert not host.stream.has_news()
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 60.0)
    monkeypatch.setattr("vla_inference_ros.nodes.stream.time", later)
    assert host.stream.has_news()
    assert host.report().troubles == [SILENT]
    assert not host.stream.has_news()
    assert [alarm for alarm in host.log.alarms if "has the sender stopped" in alarm]
    host.skip(int(59.0 / PERIOD))
    host.send()
    assert host.stream.has_news()
    assert host.report().troubles == []


def test_a_step_is_told_even_right_after_a_damaged_packet() -> None:
    host = Host()
    host.send(LEARNING + 10)
    host.skew += 20.0
    host.send()
    host.skew = SKEW
    host.send()
    host.skew += 20.0
    host.send(10)
    damaged, step = host.log.alarms
    assert "taken for damaged" in damaged
    assert "the sender's clock stepped" in step


def test_a_thread_that_is_kept_waiting_between_two_clocks_sees_no_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host()
    host.send(LEARNING + 10)
    clocks = HaltingClocks()
    monkeypatch.setattr("vla_inference_ros.nodes.sender_stamps.time", clocks)
    error, _ = host.send(5)
    assert clocks.halts >= 5
    assert error == pytest.approx(0.0, abs=CLOSE)
    assert (host.report().clock_steps, host.log.alarms) == (0, [])


def test_a_trusted_clock_that_is_ahead_is_an_alarm() -> None:
    host = Host("trust")
    host.skew = 0.0
    error, clock = host.send(5)
    assert (error, clock.mode, clock.offset) == (0.0, "trust", 0.0)
    assert (host.log.news, host.log.alarms) == ([], [])
    host.skew = 2.0
    host.send()
    assert "the sensor's host: the sender's clock is ahead of receipt by 2.0" in host.log.alarms[0]


def test_stamps_of_receipt_are_those_of_the_newest_item() -> None:
    host = Host("receive")
    error, clock = host.send(5)
    assert error == pytest.approx(WAITING + DELAY, abs=1e-5)
    assert host.report().clock_mode == clock.mode == "receive"


def test_without_send_times_a_clock_that_is_not_ours_gives_lower_bounds() -> None:
    host = Host(sends_time=False)
    host.send(LEARNING + 10)
    assert host.report().clock_lower_bound
    (told,) = host.log.news
    assert "ages are lower bounds" in told
    assert host.log.alarms == []


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="clock mode is 'guess', not one of"):
        Host("guess")

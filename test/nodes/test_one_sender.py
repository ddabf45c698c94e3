"""A stream takes one sender's packets; its clock is the sender's host's."""

from __future__ import annotations

import time
from typing import Any

import pytest
from stream_log import Log

from vla_inference_ros.core.source import QUIET, Listening, Sender
from vla_inference_ros.core.troubles import second_source
from vla_inference_ros.nodes.one_sender import SECOND_SOURCE, OneSender
from vla_inference_ros.nodes.stream import Stream

FIRST = Sender("10.0.0.1", 4001, "10.0.0.1:4001")
RESTARTED = Sender("10.0.0.1", 4002, "10.0.0.1:4002")
OTHER = Sender("10.0.0.2", 4001, "10.0.0.2:4001")


class Bench:
    """A stream with its sender, and a clock that the test sets."""

    def __init__(self) -> None:
        self.log = Log()
        node: Any = self.log
        self.stream = Stream(node, "sensor")
        self._start, self._passed = time.monotonic(), 0.0
        self._listening = Listening(self._start)
        self.passes = 0.0  # at each look at the clock [s]
        sender = OneSender(
            self.stream, "calibrate", self._listening, "the sensor's host", clock=self._now
        )
        self.stamps_of = sender.stamps_of

    def _now(self) -> float:
        self._passed += self.passes
        return self._start + self._passed

    def wait(self, seconds: float) -> None:
        """The thread listens all the while."""
        for _ in range(10):
            self._passed += seconds / 10
            self._listening.look(self._start + self._passed)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_another_sender_is_refused_counted_and_named(bench: Bench) -> None:
    clock = bench.stamps_of(FIRST)
    assert clock is not None
    for _ in range(10):
        assert bench.stamps_of(OTHER) is None
        assert bench.stamps_of(FIRST) is clock
    report = bench.stream.report(0.0)
    assert dict(zip(report.problem_kinds, report.problem_counts, strict=True)) == {
        SECOND_SOURCE: 10
    }
    assert report.troubles == [second_source("10.0.0.2:4001")]
    (alarm,) = bench.log.alarms
    assert "10.0.0.2:4001 sends as well as 10.0.0.1:4001, whose stream this is" in alarm


def test_another_host_takes_over_with_a_clock_of_its_own(bench: Bench) -> None:
    clock = bench.stamps_of(FIRST)
    bench.wait(1.1 * QUIET)
    other = bench.stamps_of(OTHER)
    assert other is not None
    assert other is not clock
    (alarm,) = bench.log.alarms
    assert "10.0.0.2:4001 sends now, 10.0.0.1:4001 has been silent for 1 s" in alarm
    assert bench.stream.report(0.0).troubles == []


def test_a_restarted_sender_keeps_its_hosts_clock(bench: Bench) -> None:
    clock = bench.stamps_of(FIRST)
    bench.wait(0.5 * QUIET)
    assert bench.stamps_of(RESTARTED) is None
    bench.wait(0.6 * QUIET)
    assert bench.stamps_of(RESTARTED) is clock


def test_a_sender_whose_time_comes_while_it_is_refused_is_refused_once_and_named(
    bench: Bench,
) -> None:
    bench.stamps_of(FIRST)
    bench.wait(0.6 * QUIET)
    bench.passes = 0.3 * QUIET  # so that the first one's time is over at the second look
    assert bench.stamps_of(OTHER) is None
    report = bench.stream.report(0.0)
    assert report.problem_kinds == [SECOND_SOURCE]
    assert report.troubles == [second_source(OTHER.name)]
    assert bench.stamps_of(OTHER) is not None

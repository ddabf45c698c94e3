"""Senders whose clocks make no sense, on real sockets: nothing of theirs is published."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from harness import Listener, NodeProcess, problems
from repeating import repeating
from wire_streams import Stream, camera_stream, robot_stream, sensor_stream

from vla_inference_ros.core.troubles import CLOCK_CONTRADICTED

PERIOD = 0.02  # between two packets [s]
LATE = 2.0  # [s]
HOUR = 3600.0
NAMED, AGAIN = 1.0, 3.0  # within which the clock is named, and its sender is used again [s]
MACHINE = 1.0  # that a busy machine may add to both
STAYS = 2.0  # how long the clock jumps about [s]
_TURNS = itertools.cycle((1, 2))
Errors = Callable[[], float]  # of the clock at each packet [s]


def right() -> float:
    return 0.0


def at_random() -> float:
    return random.uniform(1.0, 1000.0) - LATE


def of_two() -> float:
    """As of two senders behind one address, by turns."""
    return next(_TURNS) * HOUR - LATE


class Sending:
    """Sends, from a thread, packets by a clock with the ``error`` of the moment."""

    def __init__(self, stream: Stream) -> None:
        self.error: Errors = right
        self._stream = stream

    def going_on(self) -> AbstractContextManager[None]:
        return repeating(self._send, PERIOD)

    def _send(self) -> None:
        self._stream.send(self._stream.good(time.time() - 0.01 + self.error()))


@pytest.mark.parametrize(
    ("streaming", "error"),
    [(camera_stream, at_random), (robot_stream, of_two), (sensor_stream, at_random)],
)
def test_nothing_of_a_clock_that_makes_no_sense_is_published(
    streaming: Callable[[str], AbstractContextManager[tuple[NodeProcess, Stream]]],
    error: Errors,
    listener: Listener,
) -> None:
    with streaming("calibrate") as (_, stream):
        sending = Sending(stream)
        topic, kind = next(iter(stream.topics.items()))
        with sending.going_on():
            listener.report(stream.node, stream.stream, lambda r: r.clock_uncertainty > 0)
            heard = listener.listen(kind, topic)
            listener.spin_until(lambda: heard)

            sending.error = error
            began = time.time()
            bad = listener.report(
                stream.node, stream.stream, lambda r: CLOCK_CONTRADICTED in r.troubles
            )
            assert time.time() - began < NAMED + MACHINE
            assert bad.clock_uncertainty < 0
            heard = listener.listen(kind, topic)
            listener.spin_for(STAYS)
            assert not heard
            after = listener.report(stream.node, stream.stream)
            assert CLOCK_CONTRADICTED in after.troubles
            assert problems(after).get(CLOCK_CONTRADICTED, 0) + after.held_back > STAYS / PERIOD / 2

            sending.error = right
            began = time.time()
            listener.spin_until(lambda: heard)
            listener.report(stream.node, stream.stream, lambda r: not r.troubles)
            assert time.time() - began < AGAIN + MACHINE


@pytest.mark.parametrize("streaming", [robot_stream, sensor_stream])
def test_a_clock_that_is_set_is_learnt_anew(
    streaming: Callable[[str], AbstractContextManager[tuple[NodeProcess, Stream]]],
    listener: Listener,
) -> None:
    with streaming("calibrate") as (_, stream):
        sending = Sending(stream)
        with sending.going_on():
            listener.report(stream.node, stream.stream, lambda r: r.clock_uncertainty > 0)
            sending.error = lambda: HOUR
            began = time.time()
            report = listener.report(
                stream.node,
                stream.stream,
                lambda r: r.clock_steps == 1 and r.clock_uncertainty > 0 and not r.troubles,
            )
            assert time.time() - began < AGAIN + MACHINE
            assert report.clock_offset == pytest.approx(-HOUR, abs=0.1)

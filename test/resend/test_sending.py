from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fake_clock import EPOCH, FakeClock
from recorded import OFFSET, START, STEP, datagram, frame, packet

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.resend.outlets import Outlet, OutletError
from vla_inference_ros.resend.sending import STREAMS, Sending, merged, recorded_streams

COUNT = 20
AGE = 0.75


@dataclass
class Recorded:
    """A recording of one of each at every step."""

    path: Path = Path("recorded")
    count: int = COUNT
    robot: bool = True
    odd: Odd = field(default_factory=Odd)

    def frames(self) -> Iterator[Received[CameraFrame]]:
        for number in range(self.count):
            yield Received(frame(number), OFFSET, START + OFFSET + AGE + number * STEP, "View1")

    def states(self) -> Iterator[Received[RobotPacket]]:
        for number in range(self.count * self.robot):
            yield Received(packet(number), OFFSET, START + OFFSET + AGE + (number + 0.25) * STEP)

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        for number in range(self.count):
            yield Received(datagram(number), OFFSET, START + OFFSET + AGE + (number + 0.5) * STEP)

    def results(self) -> Iterator[Result]:
        return iter(())

    def features(self) -> Iterator[Features]:
        return iter(())


@dataclass
class FakeOutlet:
    """Notes when it was given what; each sending takes ``delay`` [s] of the clock."""

    clock: FakeClock
    log: list[tuple[float, Any]]
    delay: float = 0.0
    most: int = 10_000
    given: list[Any] = field(default_factory=list)

    def await_receiver(self, patience: float) -> str:
        return ""

    def send(self, packet: Any) -> int:
        if len(self.given) == self.most:
            raise OutletError("full")
        self.given.append(packet)
        self.log.append((self.clock.time, packet))
        self.clock.time += self.delay
        return 10

    def close(self, at_once: bool) -> None:
        pass


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log: list[tuple[float, Any]] = []
        self.fakes = {name: FakeOutlet(self.clock, self.log) for name in STREAMS}
        self.outlets: dict[str, Outlet] = {**self.fakes}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("rate", [0.5, 1.0, 8.0])
def test_each_packet_is_handed_over_unchanged_when_it_is_due(bench: Bench, rate: float) -> None:
    sending = Sending(bench.outlets, rate, clock=bench.clock)
    packets = list(merged(Recorded(), list(STREAMS)))
    progress = list(sending.run(packets))
    first = packets[0][1].received
    assert [sent for _, sent in bench.log] == [received.packet for _, received in packets]
    for (instant, _), (_, received), so_far in zip(bench.log, packets, progress, strict=True):
        assert instant == pytest.approx(100.0 + (received.received - first) / rate, abs=1e-6)
        assert so_far == received.received - first
    assert [type(each) for each in bench.fakes["robot"].given] == [RobotPacket] * COUNT
    for counts in sending.sent.values():
        assert (counts.packets, counts.size, counts.late) == (COUNT, 10 * COUNT, 0.0)


def test_as_fast_as_possible_never_sleeps(bench: Bench) -> None:
    sending = Sending(bench.outlets, 0.0, clock=bench.clock)
    assert len(list(sending.run(merged(Recorded(), list(STREAMS))))) == 3 * COUNT
    assert bench.clock.time == 100.0


def test_how_late_each_stream_was_is_told(bench: Bench) -> None:
    bench.fakes["robot"].delay = 2 * STEP
    sending = Sending(bench.outlets, 1.0, clock=bench.clock)
    list(sending.run(merged(Recorded(count=3), list(STREAMS))))
    assert sending.sent["camera"].late == pytest.approx(2 * 2 * STEP - 1.75 * STEP, abs=1e-6)
    assert sending.sent["robot"].late > sending.sent["camera"].late


def test_restamped_packets_are_as_old_as_they_were_at_their_due_time(bench: Bench) -> None:
    bench.clock.lateness = 0.02
    sending = Sending(bench.outlets, 2.0, restamp=True, clock=bench.clock)
    list(sending.run(merged(Recorded(), list(STREAMS))))
    for number, moved in enumerate(bench.fakes["robot"].given):
        due = EPOCH + 100.0 + (number + 0.25) * STEP / 2.0
        assert due - moved.origin_time == pytest.approx(AGE + 0.25 * STEP, abs=1e-6)
    for number, moved in enumerate(bench.fakes["camera"].given):
        due = EPOCH + 100.0 + number * STEP / 2.0
        assert due - moved.timestamp == pytest.approx(AGE, abs=1e-6)


def test_what_was_sent_before_it_failed_is_counted(bench: Bench) -> None:
    bench.fakes["sensor"].most = 7
    sending = Sending(bench.outlets, clock=bench.clock)
    with pytest.raises(OutletError, match="full"):
        list(sending.run(merged(Recorded(), list(STREAMS))))
    assert sending.sent["sensor"].packets == 7
    assert sending.sent["camera"].packets == 8


def test_streams_without_a_packet_are_left_out() -> None:
    assert recorded_streams(Recorded(robot=False), ["sensor", "robot", "camera"]) == [
        "sensor",
        "camera",
    ]
    assert recorded_streams(Recorded(count=0), list(STREAMS)) == []


def test_only_the_streams_that_are_asked_for_are_merged() -> None:
    packets = list(merged(Recorded(), ["robot", "sensor"]))
    assert [stream for stream, _ in packets] == ["robot", "sensor"] * COUNT

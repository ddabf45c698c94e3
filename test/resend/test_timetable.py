from __future__ import annotations

import numpy as np
import pytest
from fake_clock import EPOCH, FakeClock
from recorded import OFFSET, START, STEP, datagram, frame, packet

from vla_inference_ros.core.wire import SENSOR_RATE, SensorDatagram
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.resend.timetable import Timetable, restamped

NOW = 1_800_000_000.5
AGE = 0.75  # of what was recorded, when it was received [s]


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_packets_are_due_at_their_distances_over_the_rate(rate: float) -> None:
    clock = FakeClock()
    timetable = Timetable(START, rate, clock)
    for number in range(50):
        due = timetable.wait(START + number * STEP)
        assert due == clock.time == 100.0 + number * STEP / rate
        assert timetable.late(due) == 0.0
        assert timetable.to_unix(due) == EPOCH + due


def test_lateness_does_not_add_up() -> None:
    clock = FakeClock()
    clock.lateness = 0.01
    timetable = Timetable(START, 1.0, clock)
    for number in range(1, 50):
        due = timetable.wait(START + number * STEP)
        assert due == 100.0 + number * STEP
        assert timetable.late(due) == pytest.approx(0.01)


def test_after_a_stall_what_is_due_comes_at_once() -> None:
    clock = FakeClock()
    timetable = Timetable(START, 1.0, clock)
    clock.time += 10 * STEP
    for number in range(10):
        due = timetable.wait(START + number * STEP)
        assert clock.time == 100.0 + 10 * STEP
        assert timetable.late(due) == (10 - number) * STEP
    assert timetable.wait(START + 11 * STEP) == clock.time == 100.0 + 11 * STEP


def test_a_sleep_that_ends_early_is_gone_on_with() -> None:
    clock = FakeClock()
    clock.lateness = -STEP / 4
    timetable = Timetable(START, 1.0, clock)
    stops = 0

    def on_sleep() -> None:
        nonlocal stops
        stops += 1
        if stops == 3:
            clock.lateness = 0.0

    clock.on_sleep = on_sleep
    timetable.wait(START + STEP)
    assert clock.time == 100.0 + STEP
    assert stops == 4


def test_a_host_s_clock_that_was_set_back_makes_nothing_wait() -> None:
    clock = FakeClock()
    timetable = Timetable(START, 1.0, clock)
    timetable.wait(START - 3600.0)
    assert clock.time == 100.0


def test_without_a_rate_all_is_due_at_once() -> None:
    clock = FakeClock()
    timetable = Timetable(START, 0.0, clock)
    for number in range(50):
        due = timetable.wait(START + number * STEP)
        assert due == clock.time == 100.0


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0, 2.0])
def test_restamped_packets_are_as_old_as_they_were(rate: float) -> None:
    sent = frame(3)
    received = sent.timestamp + OFFSET + AGE
    moved = restamped(Received(sent, OFFSET, received, "View1"), NOW, rate)
    assert NOW - moved.timestamp == pytest.approx(AGE, abs=1e-6)
    assert moved.send_time - moved.timestamp == pytest.approx(0.125, abs=1e-6)
    assert (moved.camera, moved.jpeg) == (sent.camera, sent.jpeg)
    state = packet(3)
    moved = restamped(Received(state, OFFSET, received), NOW, rate)
    assert NOW - moved.origin_time == pytest.approx(AGE, abs=1e-6)
    assert moved.send_time - moved.origin_time == pytest.approx(0.125, abs=1e-6)
    assert (moved.force, moved.joints, moved.pose) == (state.force, state.joints, state.pose)
    samples = datagram(3)
    received = float(samples.times[-1]) + OFFSET + AGE
    moved = restamped(Received(samples, OFFSET, received), NOW, rate)
    assert NOW - moved.times[-1] == pytest.approx(AGE, abs=1e-6)
    assert moved.send_times[-1] - moved.times[-1] == pytest.approx(0.125, abs=1e-6)
    np.testing.assert_array_equal(moved.ascan, samples.ascan)
    np.testing.assert_array_equal(moved.force, samples.force)


def test_a_picture_without_a_send_time_gets_none() -> None:
    sent = frame(0)
    bare = type(sent)(sent.camera, sent.timestamp, sent.jpeg, sent.width, sent.height)
    assert restamped(Received(bare, OFFSET, START, "View1"), NOW, 1.0).send_time is None


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0, 2.0])
def test_restamped_samples_never_overlap(rate: float) -> None:
    """A datagram spans as much time as there is from one to the next, at every rate."""
    size, moved = 15, []
    period = size / SENSOR_RATE
    for number in range(10):
        times = START + number * period + np.arange(size) / SENSOR_RATE
        ascan = np.zeros((size, 1025), np.float32)
        samples = SensorDatagram(times, np.full(size, times[-1] + 0.01), ascan[:, 0], ascan)
        received = float(times[-1]) + AGE
        now = NOW + (number * period / rate if rate else 0.0)
        moved.append(restamped(Received(samples, 0.0, received), now, rate))
    times = np.concatenate([each.times for each in moved])
    expected = 1 / SENSOR_RATE / rate if rate else 0.0
    np.testing.assert_allclose(np.diff(times), expected, rtol=0, atol=2e-6)
    for each in moved:
        SensorDatagram.unpack(each.pack())

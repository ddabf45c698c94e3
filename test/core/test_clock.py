"""Simulated senders with a fixed seed: no test looks at a real clock."""

from __future__ import annotations

import math
import random

import pytest
from sending_host import (
    AGE,
    LEAST_DELAY,
    NEVER,
    NOW,
    SENSOR_RATE,
    Course,
    World,
    notices,
    steady,
    worst,
)

from vla_inference_ros.core.clock import (
    CALIBRATION_PACKETS,
    CALIBRATION_TIME,
    CLOCK_MODES,
    ClockReading,
    HostClock,
)

TOLERANCE = 0.003


def learnt(**world: object) -> World:
    """A world of which the clock has seen half a minute."""
    ready = World(**world)  # type: ignore[arg-type]
    ready.run(30.0)
    assert ready.clock.read().calibrated
    return ready


def test_it_is_learnt_over_the_first_second() -> None:
    world = World()
    start = world.clock.read()
    assert start == ClockReading("calibrate", 0.0, 0.0, -1.0, False, 0, False)
    packets = world.run(0.99 * CALIBRATION_TIME)
    reading = world.clock.read()
    assert (reading.calibrated, reading.uncertainty) == (False, -1.0)
    last = world.run(0.1)
    reading = world.clock.read()
    assert (reading.calibrated, reading.mode, reading.lower_bound) == (True, "calibrate", False)
    assert 0 <= reading.uncertainty < TOLERANCE
    assert notices(packets) == []
    (notice,) = notices(last)
    number = next(n for n, packet in enumerate(packets + last, start=1) if packet.notice)
    assert f"learnt from {number} packets" in notice


@pytest.mark.parametrize("offset", [1.5, -3600.25, 0.0, 1e8])
@pytest.mark.parametrize("rate", [SENSOR_RATE, 5.0, 1.0])
def test_the_offset_is_right_once_it_is_known(rate: float, offset: float) -> None:
    world = World(rate=rate, offset=steady(offset))
    packets = world.run(300.0)
    known = next(n for n, packet in enumerate(packets) if packet.known)
    assert packets[known].time < max(1.5, (CALIBRATION_PACKETS + 1) / rate)
    assert all(packet.known for packet in packets[known:])
    assert worst(packets[known:]) <= TOLERANCE


@pytest.mark.parametrize("rate", [SENSOR_RATE, 5.0, 1.0])
@pytest.mark.parametrize("drift", [50e-6, -50e-6])
def test_drift_is_followed_and_told(drift: float, rate: float) -> None:
    world = World(rate=rate, offset=lambda time: 1.5 - drift * time)
    packets = world.run(600.0)
    assert worst(packets[49:]) <= TOLERANCE
    reading = world.clock.read()
    assert reading.drift == pytest.approx(drift, abs=20e-6)
    assert reading.steps == 0
    assert abs(packets[-1].error) <= LEAST_DELAY + reading.uncertainty


def test_what_waits_at_the_sender_stays_old() -> None:
    packets = learnt().run(10.0)
    for packet in packets:
        assert packet.age == pytest.approx(AGE + packet.delay, abs=TOLERANCE)


@pytest.mark.parametrize("rate", [SENSOR_RATE, 5.0])
@pytest.mark.parametrize("step", [-2.0, 2.0])
def test_a_step_of_the_sender_is_learnt_at_once(step: float, rate: float) -> None:
    world = learnt(rate=rate, offset=lambda time: 1.5 if time < 30.0 else 1.5 - step)
    packets = world.run(30.0)
    after = [packet for packet in packets if packet.time > 30.0]
    seen = after[4:]  # the fifth tells that it is one
    assert all(abs(packet.error) <= packet.delay + TOLERANCE for packet in seen)
    assert all(packet.error <= packet.delay + TOLERANCE for packet in packets)  # never too young
    assert worst([packet for packet in packets if packet.time > 32.0]) <= TOLERANCE
    assert world.clock.read().steps == 1
    assert world.clock.read().calibrated
    assert len(notices(packets)) == 2  # the step, and that it is learnt again


@pytest.mark.parametrize("step", [-2.0, 2.0, 0.006, -1e6])
def test_a_step_of_this_hosts_clock_is_followed_exactly(step: float) -> None:
    world = learnt(own=lambda time: 0.0 if time < 31.0 else step)
    packets = world.run(30.0)
    assert worst(packets) <= 0.0005  # as without it
    reading = world.clock.read()
    assert (reading.steps, reading.calibrated) == (1, True)
    assert notices(packets) == [f"this host's clock stepped by {step:+.3f} s"]


def test_slewing_of_this_hosts_clock_is_no_step() -> None:
    world = learnt(own=lambda time: -400e-6 * max(0.0, time - 30.0))
    packets = world.run(60.0)
    assert worst(packets) <= TOLERANCE
    assert (world.clock.read().steps, notices(packets)) == (0, [])


@pytest.mark.parametrize("rate", [SENSOR_RATE, 5.0])
def test_a_lasting_delay_is_never_taken_for_offset(rate: float) -> None:
    world = learnt(rate=rate, added_delay=lambda time: 0.0 if time < 30.0 else 0.2)
    assert worst(world.run(30.0)) <= TOLERANCE
    later = world.run(570.0)
    assert later[-1].error <= 0.011  # 1 ms a minute
    assert later[-1].age > AGE + 0.2 - 0.011
    assert world.clock.read().uncertainty > 0.18
    assert (world.clock.read().steps, notices(later)) == (0, [])


def test_a_delay_that_ends_leaves_the_offset_right() -> None:
    world = learnt(added_delay=lambda time: 0.2 if 30.0 < time < 330.0 else 0.0)
    world.run(300.0)
    packets = world.run(60.0)
    assert worst(packets) <= TOLERANCE + 0.005
    assert worst([packet for packet in packets if packet.time > 332.0]) <= TOLERANCE


@pytest.mark.parametrize("wrong", [-7.5e8, 3.6e8, 0.5, -0.5])
@pytest.mark.parametrize("index", [0, 1, 2, 3, 20, 48, 49, 50, 1000])
def test_one_absurd_time_is_harmless_at_any_moment(index: int, wrong: float) -> None:
    world = World(wrong=lambda time: wrong if round(time * SENSOR_RATE) == index + 1 else 0.0)
    packets = world.run(40.0)
    after = packets[max(index, round(1.5 * SENSOR_RATE)) + 1 :]
    assert worst(after) <= TOLERANCE
    assert worst(packets[index + 1 :]) <= 0.02  # provisional at worst
    assert (world.clock.read().steps, world.clock.read().calibrated) == (0, True)
    told = "; ".join(notices(packets)).split("; ")
    assert len(told) == 2  # it, and that the clock is learnt


def test_absurd_times_now_and_then_are_harmless() -> None:
    absurd = random.Random(3)
    world = World(wrong=lambda _: absurd.choice((-7.5e8, 3.6e8, 9.0)) * (absurd.random() < 0.05))
    packets = world.run(60.0)[100:]
    right = [packet for packet in packets if abs(packet.error) <= TOLERANCE]
    assert len(right) > 0.95 * len(packets)
    assert all(packet.error <= packet.delay + TOLERANCE for packet in packets)  # never too young


def test_a_burst_after_an_outage_keeps_its_age() -> None:
    """What was sent from 30 to 35 s all comes within 0.1 s then."""
    world = learnt(added_delay=lambda time: (35.0 - time) * 1.02 if 30.0 < time < 35.0 else 0.0)
    burst, after = world.run(5.0), world.run(30.0)
    assert worst(burst + after) <= TOLERANCE
    assert burst[5].age > 4.5
    assert world.clock.read().steps == 0


def test_after_a_silence_the_same_clock_goes_on() -> None:
    world = learnt(offset=lambda time: 1.5 + 40e-6 * time)
    world.time += 120.0
    packets = world.run(10.0)
    assert worst(packets) <= TOLERANCE
    assert (world.clock.read().steps, world.clock.read().calibrated) == (0, True)


@pytest.mark.parametrize("step", [5.0, -100.0])
def test_after_a_silence_a_clock_that_cannot_be_the_old_one_is_learnt(step: float) -> None:
    """It is ahead, or so far back that it sends what it sent before."""
    world = learnt(offset=lambda time: 1.5 if time < 50.0 else 1.5 - step)
    world.time += 60.0
    packets = world.run(30.0)
    assert worst(packets[60:]) <= TOLERANCE
    assert all(packet.error <= packet.delay + TOLERANCE for packet in packets)  # never too young
    assert (world.clock.read().steps, world.clock.read().calibrated) == (1, True)


def test_after_a_silence_lateness_is_age_and_told_once() -> None:
    """A network that has become slower, or a clock that was set back: nobody can know."""
    world = learnt(offset=lambda time: 1.5 if time < 50.0 else 1.5 + 2.5)
    world.time += 60.0
    packets = world.run(60.0)
    assert all(packet.error == pytest.approx(-2.5, abs=0.02) for packet in packets)
    assert (world.clock.read().steps, world.clock.read().calibrated) == (0, True)
    (notice,) = notices(packets)
    assert "later than before a silence" in notice
    assert "restart this node" in notice


def test_packets_in_odd_order_are_harmless() -> None:
    source = random.Random(4)
    world = learnt(wrong=lambda _: -source.choice((0.0, 0.0, 0.05)))  # as if late by that
    packets = world.run(30.0)
    on_time = [packet for packet in packets if abs(packet.error) < 0.01]
    assert len(on_time) > len(packets) / 2
    assert worst(on_time) <= TOLERANCE
    assert world.clock.read().steps == 0


def camera(age: float | Course, **world: object) -> World:
    """Half a minute of a camera that sends no send_time and whose clock shows this age."""
    course = age if callable(age) else steady(age)
    return learnt(rate=30.0, offset=NEVER, sends_time=False, age=course, **world)


def test_a_plausible_age_without_send_times_means_a_synchronised_clock() -> None:
    world = camera(0.03)
    reading = world.clock.read()
    assert reading == ClockReading("trust", 0.0, 0.0, 0.0, True, 0, False)
    for packet in world.run(10.0):
        assert packet.age == pytest.approx(0.03 + packet.delay, abs=1e-6)


@pytest.mark.parametrize("age", [5.0, 0.6, -0.5, -1e6])
def test_without_send_times_ages_of_another_clock_are_lower_bounds(age: float) -> None:
    world = World(rate=30.0, offset=NEVER, sends_time=False, age=steady(age))
    packets = world.run(30.0)
    reading = world.clock.read()
    assert (reading.mode, reading.lower_bound, reading.calibrated) == ("calibrate", True, True)
    assert reading.offset == pytest.approx(age, abs=TOLERANCE)
    assert len(notices(packets)) == 1
    assert "lower bounds" in notices(packets)[0]
    assert all(-1e-6 <= packet.age <= packet.delay for packet in packets)


@pytest.mark.parametrize("age", [0.03, 5.0])
def test_a_camera_that_falls_behind_later_looks_old(age: float) -> None:
    world = camera(lambda time: age + 0.1 * max(0.0, time - 30.0))
    mode = world.clock.read().mode
    world.run(20.0)
    packets = world.run(1.0)
    assert all(packet.age > 2.0 for packet in packets)
    world.time += 10.0
    assert all(packet.age > 3.0 for packet in world.run(10.0))
    assert (world.clock.read().mode, world.clock.read().steps) == (mode, 0)


def test_trust_without_send_times_is_decided_anew_after_a_step_of_the_sender() -> None:
    world = camera(0.03, wrong=lambda time: 100.0 if 30.0 < time < 60.0 else 0.0)
    packets = world.run(29.0)
    assert (world.clock.read().mode, world.clock.read().lower_bound) == ("calibrate", True)
    assert all(0.0 <= packet.age < 0.05 for packet in packets)
    world.run(30.0)
    assert (world.clock.read().mode, world.clock.read().steps) == ("trust", 2)


def test_trust_without_send_times_is_decided_anew_after_a_step_of_this_host() -> None:
    world = camera(0.03, own=lambda time: 100.0 if time > 31.0 else 0.0)
    packets = world.run(29.0)
    reading = world.clock.read()
    assert (reading.mode, reading.lower_bound, reading.calibrated) == ("calibrate", True, True)
    assert all(0.0 <= packet.age < 0.05 for packet in packets)


def test_lower_bounds_are_told_once() -> None:
    world = camera(5.0, own=lambda time: 100.0 if time > 31.0 else 0.0)
    assert notices(world.run(30.0)) == ["this host's clock stepped by +100.000 s"]
    assert world.clock.read().lower_bound


def test_a_trusted_clock_that_runs_ahead_stays_trusted_and_is_told() -> None:
    world = camera(lambda time: 0.002 - 100e-6 * time)
    packets = world.run(90.0)
    assert world.clock.read().mode == "trust"
    assert all("is ahead" in notice for notice in notices(packets))
    assert notices(packets)


def test_a_packet_without_send_time_among_others_gets_the_offset() -> None:
    world = learnt()
    before = world.clock.read()
    seen = world.clock.observe(
        newest_time=NOW + 20.0, send_time=None, receive_time=NOW + 31.0, steady_time=1031.0
    )
    assert seen.offset == pytest.approx(before.offset, abs=1e-4)
    assert seen.notice == ""
    assert world.clock.read().mode == "calibrate"


def test_send_times_that_come_later_are_learnt_from() -> None:
    world = camera(0.03)
    world.sends_time, world.offset = True, steady(1.5)
    assert worst(world.run(10.0)[50:]) <= TOLERANCE
    assert world.clock.read().mode == "calibrate"


def test_trust_adds_nothing_and_tells_once_of_a_clock_that_is_ahead() -> None:
    world = World(HostClock("trust"), offset=lambda time: -1.0 if 10 < time < 20 else 0.0)
    assert world.clock.read() == ClockReading("trust", 0.0, 0.0, 0.0, True, 0, False)
    packets = world.run(30.0)
    assert all(packet.age >= AGE - 1.0 for packet in packets)
    assert {packet.error for packet in packets} == {0.0, 1.0}
    (notice,) = notices(packets)
    assert "not synchronised?" in notice
    world.offset = steady(-0.004)
    assert notices(world.run(1.0)) == []
    world.offset = steady(-0.05)
    assert len(notices(world.run(1.0))) == 1


def test_receive_makes_stamps_receipt_times() -> None:
    world = World(HostClock("receive"), wrong=lambda time: random.Random(time).uniform(-1e6, 1e6))
    packets = world.run(10.0)
    assert all(packet.age == pytest.approx(0.0, abs=1e-6) for packet in packets)
    reading = world.clock.read()
    assert (reading.mode, reading.calibrated, reading.lower_bound) == ("receive", True, False)
    assert notices(packets) == []


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="clock mode is 'ntp', not one of calibrate, trust"):
        HostClock("ntp")
    with pytest.raises(ValueError, match="0 packets"):
        HostClock(packets=0)


@pytest.mark.parametrize("mode", CLOCK_MODES)
@pytest.mark.parametrize("seed", range(20))
def test_no_sequence_of_finite_times_breaks_it(mode: str, seed: int) -> None:
    source = random.Random(seed)
    clock = HostClock(mode, packets=source.choice((1, 2, 5, 50)))
    scales = source.choice(((0.0, 1e-3), (1.0, 60.0), (1e-3, 1.0, 1e9), (1.0, 1e300, 1.7e308)))
    for packet in range(500):

        def near(packet: int = packet) -> float:
            return packet * 0.3 + source.choice(scales) * source.uniform(-1.0, 1.0)

        seen = clock.observe(
            newest_time=near(),
            send_time=near() if source.random() < 0.9 else None,
            receive_time=near(),
            steady_time=near(),
        )
        reading = clock.read()
        assert math.isfinite(seen.offset)
        assert math.isfinite(reading.offset)
        assert math.isfinite(reading.uncertainty)
        assert abs(reading.drift) <= 500e-6

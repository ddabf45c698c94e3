"""A sender whose times make no sense: nothing of it may be used until they do."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from sending_host import BEHIND, Packet, World

HOUR = 3600.0
LEARNING, RECOVERY = 2.0, 3.0  # [s]
Wrong = Callable[[float], float]


def by_turns(*errors: float) -> Wrong:
    """The error of each packet in turn."""
    number = iter(range(10**6))
    return lambda _: errors[next(number) % len(errors)]


def at_random(low: float, high: float) -> Wrong:
    source = random.Random(1)
    return lambda _: source.uniform(low, high)


def used(world: World, seconds: float) -> list[Packet]:
    """The packets that may be used."""
    found = []
    for packet in world.packets(seconds):
        if packet.known and not world.clock.unusable:
            found.append(packet)
    return found


@pytest.fixture(params=[44.0, 100.0, 8.0])
def world(request: pytest.FixtureRequest) -> World:
    """A clock that is known, at a sensor's, a robot's and a slow camera's rate."""
    world = World(rate=request.param)
    world.run(LEARNING)
    assert not world.clock.contradicted
    return world


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: at_random(1.0, 1000.0),
        lambda: by_turns(HOUR, 2 * HOUR),
        lambda: by_turns(HOUR, 2 * HOUR, 3 * HOUR),
    ],
)
@pytest.mark.parametrize("late", [0.0, 2.0])
def test_nothing_of_a_clock_that_jumps_ahead_is_used(
    late: float, wrong: Callable[[], Wrong], world: World
) -> None:
    world.wrong, world.added_delay = wrong(), lambda _: late
    assert not [packet for packet in used(world, 8.0) if packet.age < 0.2]
    assert world.clock.contradicted
    assert world.clock.read().uncertainty < 0
    assert world.clock.read().steps == 0


def test_nothing_passes_that_seems_to_fit_by_chance(world: World) -> None:
    """One in some hundred packets of such a clock seems a moment old."""
    world.wrong, world.added_delay = at_random(0.0, 10.0), lambda _: 2.0
    assert not [packet for packet in used(world, 60.0) if packet.age < 0.2]


def test_nothing_is_used_while_every_other_packet_has_another_clock(world: World) -> None:
    """Two senders behind one address: nobody knows which of them is the right one."""
    world.wrong = by_turns(0.0, HOUR)
    passed = used(world, 8.0)
    assert len(passed) <= 2
    assert world.clock.contradicted


@pytest.mark.parametrize("wrong", [lambda: by_turns(0.0, -HOUR), lambda: at_random(-1000.0, -5.0)])
def test_times_that_jump_back_look_old_and_are_told(
    wrong: Callable[[], Wrong], world: World
) -> None:
    world.wrong = wrong()
    assert not [packet for packet in used(world, 8.0) if packet.age < 0.05]
    assert world.clock.contradicted


def test_once_the_times_make_sense_the_sender_is_used_again(world: World) -> None:
    world.wrong = at_random(1.0, 1000.0)
    world.run(8.0)
    world.wrong = lambda _: 0.0
    began = world.time
    passed = used(world, RECOVERY)
    assert passed[0].time - began < 9.5 / world.rate
    assert abs(passed[0].error) < 0.01
    world.run(10.0 / world.rate)
    assert not world.clock.contradicted


def test_a_clock_that_jumped_about_and_now_stays_is_learnt(world: World) -> None:
    world.wrong = at_random(1.0, 1000.0)
    world.run(8.0)
    world.wrong = lambda _: 2 * HOUR
    began = world.time
    passed = used(world, RECOVERY)
    assert passed[0].time - began < RECOVERY
    assert abs(passed[0].error) < 0.01
    assert world.clock.read().steps == 1


@pytest.mark.parametrize("step", [HOUR, -HOUR, 0.5])
def test_a_step_is_learnt_anew_and_no_contradiction(step: float, world: World) -> None:
    world.offset = lambda _: BEHIND(0.0) - step
    assert not [packet for packet in used(world, RECOVERY) if packet.error > 0.01]
    assert used(world, 0.5)
    assert not world.clock.contradicted
    assert world.clock.read().steps == 1


def test_of_one_damaged_time_no_other_packet_suffers(world: World) -> None:
    number = iter(range(10**6))
    world.wrong = lambda _: HOUR if next(number) % 10 == 5 else 0.0
    packets = round(5.0 * world.rate)
    passed = used(world, 5.0)
    assert len(passed) == packets - len([n for n in range(packets) if n % 10 == 5])
    assert max(abs(packet.error) for packet in passed) < 0.01
    assert not world.clock.contradicted


def test_a_way_that_becomes_quicker_contradicts_nothing() -> None:
    """As when the machine was busy while the clock was learnt: some packets come earlier now."""
    world = World(added_delay=lambda _: 0.04)
    world.run(LEARNING)
    quick = by_turns(0.04, 0.0, 0.02, 0.03)
    world.added_delay = quick
    for _ in world.packets(5.0):
        assert not world.clock.unusable


def test_packets_that_are_overtaken_now_and_then_stop_nothing() -> None:
    """They look what they are."""
    world = World()
    world.run(LEARNING)
    world.added_delay = by_turns(0.5, 0.0, 0.0)
    passed = used(world, 1.0)
    assert len(passed) == round(world.rate)
    assert max(abs(packet.error) for packet in passed) < 0.01

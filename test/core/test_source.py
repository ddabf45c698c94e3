from __future__ import annotations

import random

import pytest

from vla_inference_ros.core.source import (
    QUIET,
    QUIET_NODE,
    UNCOUNTED,
    Counts,
    Listening,
    Namesakes,
    Sender,
    Source,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_who_speaks_is_heard_and_a_second_one_is_a_stranger(clock: Clock) -> None:
    source = Source[int](clock=clock)
    assert source.admit(1)
    assert not source.strangers()
    assert not source.admit(2)
    assert source.admit(1)
    assert (source.bound, source.strangers()) == (1, [2])


def test_a_stranger_is_one_until_it_has_been_quiet_for_longer_than_a_source_may(
    clock: Clock,
) -> None:
    source = Source[int](clock=clock)
    source.admit(1)
    source.admit(2)
    for _ in range(6):  # half as long again
        clock.now += QUIET / 4
        assert source.admit(1)
        assert source.strangers() == [2]
    clock.now += 0.001
    assert source.strangers() == []


def test_the_source_keeps_its_place_as_long_as_it_speaks(clock: Clock) -> None:
    source = Source[int](clock=clock)
    for _ in range(100):
        assert source.admit(1)
        clock.now += 0.9 * QUIET
        assert not source.admit(2)
        assert (source.bound, source.strangers()) == (1, [2])


def test_who_comes_after_the_source_is_quiet_takes_its_place(clock: Clock) -> None:
    source = Source[int](clock=clock)
    source.admit(1)
    clock.now += QUIET - 0.001
    assert not source.admit(2)
    clock.now += 0.002
    assert source.strangers() == []  # what was said by it was said to nobody
    assert source.admit(2)
    assert (source.bound, source.strangers()) == (2, [])
    assert not source.admit(1)


def test_several_may_be_allowed(clock: Clock) -> None:
    source = Source[int](allow_several=True, clock=clock)
    assert source.admit(1)
    assert source.admit(2)
    assert source.admit(1)
    assert source.strangers() == []


def test_who_stands_by_is_heard_while_nobody_else_speaks_and_is_nobodys_rival(
    clock: Clock,
) -> None:
    source = Source[int](clock=clock)
    assert source.admit(2, stands_by=True)
    assert source.admit(1)
    assert not source.admit(2, stands_by=True)
    assert (source.bound, source.strangers()) == (1, [])
    assert source.admit(1, stands_by=True)
    clock.now += QUIET + 0.001
    assert source.admit(2)
    assert source.bound == 2


def test_one_who_is_somebody_else_each_time_does_not_fill_the_memory(clock: Clock) -> None:
    source = Source[int](clock=clock)
    source.admit(1)
    for who in range(2, 10_000):
        assert not source.admit(who)
        assert source.strangers()[0] == 2  # so that who is named does not change all the time
    assert len(source.strangers()) <= 100
    source.forget()
    assert source.admit(7)


def test_a_new_stranger_is_noted_once_those_that_filled_the_memory_have_gone(clock: Clock) -> None:
    source = Source[int](clock=clock)
    source.admit(1)
    for who in range(2, 1000):
        source.admit(who)
    for _ in range(3):
        clock.now += 0.9 * QUIET
        source.admit(1)
    assert not source.admit(7)
    assert source.strangers() == [7]


def test_a_restarted_sender_is_another_one_on_the_same_host(clock: Clock) -> None:
    first, restarted = Sender("10.0.0.1", 4001, "a"), Sender("10.0.0.1", 4002, "a")
    source = Source[Sender](clock=clock)
    assert source.admit(first)
    assert source.admit(Sender("10.0.0.1", 4001, "known by another name"))
    assert not source.admit(restarted)
    clock.now += 1.1 * QUIET
    assert source.admit(restarted)
    assert source.bound is restarted


def test_the_place_is_kept_while_the_reader_stands_still(clock: Clock) -> None:
    """What both have sent meanwhile is read in turn."""
    listening = Listening(clock.now)
    source = Source[int](listening=listening, clock=clock)
    assert source.admit(1)
    clock.now += 5.0
    for _ in range(100):
        clock.now += 0.001
        assert not source.admit(2)
        assert source.admit(1)
        assert source.strangers() == [2]


def test_it_is_quiet_only_from_when_the_reader_listens_again(clock: Clock) -> None:
    listening = Listening(clock.now)
    source = Source[int](listening=listening, clock=clock)
    assert source.admit(1)
    clock.now += 5.0
    admitted = []
    for _ in range(20):
        listening.look(clock.now)
        admitted.append(source.admit(2))
        clock.now += 0.1
    assert admitted == [False] * 11 + [True] * 9


def test_two_nodes_of_one_name_are_named(clock: Clock) -> None:
    nodes = Namesakes(clock=clock)
    for who in (1, 2):
        nodes.of("vlm").admit(who)
    nodes.of("sensor_bridge").admit(3)
    assert nodes.conflict() == "more than one vlm in this ROS domain: does another graph run?"
    for _ in range(3):
        clock.now += QUIET_NODE / 2
        nodes.of("vlm").admit(1)
        assert nodes.conflict()
    clock.now += 0.001
    nodes.of("vlm").admit(1)
    assert not nodes.conflict()


RATE, POLL, DEPTH = 30.0, 0.4, 4  # of a camera [Hz], of the reader [s], messages that it gets


def newest(start: int, at: float, phase: float, rate: float = RATE) -> list[tuple[float, int]]:
    """The newest messages of a publisher at an instant, each (when published, its count)."""
    last = int((at - phase) * rate)
    return [(phase + n / rate, start + n) for n in range(max(0, last - DEPTH + 1), last + 1)]


def test_one_publisher_is_one_whatever_it_loses_and_as_slow_as_it_likes() -> None:
    for rate in (0.5, 5.0, 30.0, 100.0):
        counts, known = Counts(), set()
        for poll in range(1, 100):
            at = poll * POLL
            for published, count in newest(1, at, 0.0, rate):
                if published > at - POLL:
                    known.add(counts.who(count, at, is_alone=False))
        assert len(known) == 1, rate


def test_one_that_was_started_again_is_another() -> None:
    counts = Counts()
    assert counts.who(50, 0.0, is_alone=True) == counts.who(51, 0.1, is_alone=True)
    assert counts.who(1, 2.0, is_alone=True) != counts.who(52, 2.1, is_alone=True)


def test_a_single_one_may_change_its_rate_and_beside_another_it_may_not() -> None:
    for is_alone in (True, False):
        counts = Counts()
        one = [counts.who(number, number / 5, is_alone=is_alone) for number in range(20)]
        assert len(set(one)) == 1
        assert (counts.who(100, 4.0, is_alone=is_alone) == one[0]) is is_alone


def test_nothing_of_a_second_publisher_is_used_wherever_its_count_stands(clock: Clock) -> None:
    random_numbers = random.Random(7)
    for attempt in range(500):
        own = random_numbers.randrange(1, 20_000)
        near = own + random_numbers.randrange(0, 200)  # as of two that were started together
        other = near if attempt % 2 else random_numbers.randrange(1, 20_000)
        counts, source = Counts(), Source[int](clock=clock)
        begin = clock.now = clock.now + 100.0
        for poll in range(1, 6):
            clock.now = begin + poll * POLL
            for _, count in newest(own, poll * POLL, 0.0):
                assert source.admit(counts.who(count, clock.now, is_alone=True))
        joined = 5 * POLL + random_numbers.random() / RATE
        refused = 0
        for poll in range(6, 11):
            clock.now = begin + poll * POLL
            both = [(*each, True) for each in newest(own, poll * POLL, 0.0)]
            both += [(*each, False) for each in newest(other, poll * POLL, joined)]
            taken = [
                is_own
                for _, count, is_own in sorted(both)[-DEPTH:]
                if source.admit(counts.who(count, clock.now, is_alone=False))
            ]
            assert all(taken) or source.strangers(), (own, other, poll)  # held for
            refused += DEPTH - len(taken)
        assert refused, (own, other)


def test_where_the_middleware_counts_nothing_all_are_one() -> None:
    counts = Counts()
    assert {counts.who(UNCOUNTED, at, is_alone=False) for at in (0.0, 0.1)} == {0}

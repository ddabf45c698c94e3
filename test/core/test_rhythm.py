"""Packets of a sender at 50 Hz, whose clock is not ours, on a network that does this and that."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from vla_inference_ros.core.rhythm import LATE_AFTER, Rhythm
from vla_inference_ros.core.troubles import LATE, MISSING, OVERTAKEN, REPEATED

PERIOD = 0.02  # [s]
SKEW = 5.0e8  # sender's clock minus the steady one [s]
DELAY = 0.001  # from acquisition to arrival [s]


class Sender:
    """Its packets are numbered; ``found`` counts what the rhythm has made of them so far."""

    def __init__(self) -> None:
        self.rhythm = Rhythm()
        self.found: Counter[str] = Counter()

    def packet(self, number: float, late: float = 0.0, *, arrives: float | None = None) -> None:
        """One packet that is ``late`` [s], or arrives with the number ``arrives``."""
        here = PERIOD * (number if arrives is None else arrives) + late + DELAY
        delay = late if arrives is None else 0.0
        found = self.rhythm.observe(PERIOD * number + SKEW, delay, here)
        self.found.update(found)

    def packets(self, first: int, end: int, without: set[int] | None = None) -> None:
        for number in range(first, end):
            if number not in (without or ()):
                self.packet(number)


@pytest.fixture
def sender() -> Sender:
    return Sender()


def test_there_is_no_trouble_where_all_is_well(sender: Sender) -> None:
    sender.packets(0, 1000)
    assert not sender.found
    assert not sender.rhythm.silent(1000 * PERIOD)
    assert (sender.rhythm.lost, sender.rhythm.overtaken, sender.rhythm.repeated) == (0, 0, 0)


@pytest.mark.parametrize("gap", [1, 2, 40])
def test_packets_missing_between_others_are_counted(sender: Sender, gap: int) -> None:
    sender.packets(0, 300, without=set(range(200, 200 + gap)))
    assert sender.found == Counter({MISSING: gap})
    assert sender.rhythm.lost == gap


def test_each_of_many_losses_is_noticed(sender: Sender) -> None:
    dice = Random(1)
    lost = {number for number in range(100, 900) if dice.random() < 0.2}
    sender.packets(0, 1000, without=lost)
    assert sender.rhythm.lost == sender.found[MISSING] == len(lost)


def test_a_packet_that_was_taken_late_is_not_missing(sender: Sender) -> None:
    for number in range(1000):
        sender.packet(number + (0.7 if number % 100 == 50 else 0.0))
    assert not sender.found
    assert sender.rhythm.lost == 0


def test_a_sender_that_pauses_has_lost_nothing(sender: Sender) -> None:
    sender.packets(0, 300, without=set(range(200, 260)))
    assert not sender.found


def test_before_the_rhythm_is_known_nothing_is_missing(sender: Sender) -> None:
    sender.packets(0, 16, without={5})
    assert not sender.found


def test_where_packets_come_at_odd_times_none_is_missed(sender: Sender) -> None:
    dice, number = Random(2), 0.0
    for _ in range(500):
        number += dice.choice((1.0, 1.3, 2.0, 2.5))
        sender.packet(number)
    assert not sender.found


def test_a_slower_rhythm_is_learnt(sender: Sender) -> None:
    sender.packets(0, 200)
    for number in range(200, 600, 3):  # a camera that is set to a third of its rate
        sender.packet(number)
    sender.found.clear()
    for number in range(600, 1200, 3):
        sender.packet(number)
    assert not sender.found


def test_an_overtaken_packet_is_not_missing(sender: Sender) -> None:
    sender.packets(0, 200)
    for number in (201, 200, 204, 203, 202):
        sender.packet(number, arrives=max(number, 201))
    sender.packets(205, 300)
    assert sender.found == Counter({OVERTAKEN: 3})
    assert (sender.rhythm.overtaken, sender.rhythm.lost) == (3, 0)


@pytest.mark.parametrize("copies", [1, 50])
def test_a_packet_that_comes_again_is_repeated(sender: Sender, copies: int) -> None:
    sender.packets(0, 200)
    for copy in range(copies):
        sender.packet(199, arrives=200 + copy)
    assert sender.found == Counter({REPEATED: copies})
    assert sender.rhythm.repeated == copies
    sender.packets(200, 210)
    assert sender.found == Counter({REPEATED: copies})


def test_a_packet_from_a_little_before_that_comes_again_is_repeated(sender: Sender) -> None:
    sender.packets(0, 200)
    sender.packet(190, arrives=200)
    assert sender.found == Counter({REPEATED: 1})


def test_packets_that_are_later_than_the_quickest_by_more_than_a_little_are_late(
    sender: Sender,
) -> None:
    for number in range(200):
        sender.packet(number, late=0.9 * LATE_AFTER)
    assert not sender.found
    for number in range(200, 210):
        sender.packet(number, late=1.1 * LATE_AFTER)
    assert sender.found == Counter({LATE: 10})


def test_a_delay_that_is_not_known_is_none() -> None:
    rhythm = Rhythm()
    for number in range(100):
        assert not rhythm.observe(PERIOD * number, None, PERIOD * number + 9.0)


def test_a_sender_that_stops_is_silent_until_it_sends_again(sender: Sender) -> None:
    sender.packets(0, 200)
    last = 199 * PERIOD + DELAY
    assert not sender.rhythm.silent(last + 0.29)
    assert sender.rhythm.silent(last + 0.31)
    assert sender.rhythm.silent(last + 1e6)
    sender.packet(5_000_000)
    assert not sender.rhythm.silent(5_000_000 * PERIOD + 0.1)


def test_one_whose_packets_tell_nothing_is_not_silent(sender: Sender) -> None:
    sender.packets(0, 200)
    sender.rhythm.heard(300 * PERIOD)
    assert not sender.rhythm.silent(300 * PERIOD + 0.29)
    assert sender.rhythm.silent(300 * PERIOD + 0.31)


def test_one_that_only_repeats_itself_is_not_silent(sender: Sender) -> None:
    sender.packets(0, 200)
    for copy in range(100):
        sender.packet(199, arrives=200 + copy)
    assert not sender.rhythm.silent(300 * PERIOD)
    assert sender.rhythm.silent(330 * PERIOD)


def test_a_slow_sender_is_given_its_time() -> None:
    rhythm = Rhythm()
    for number in range(40):  # one packet in half a second
        rhythm.observe(0.5 * number, 0.0, 0.5 * number)
    last = 0.5 * 39
    assert rhythm.period == 0.5
    assert not rhythm.silent(last + 1.9)
    assert rhythm.silent(last + 2.1)


def test_one_that_has_never_sent_or_only_begun_is_not_silent() -> None:
    rhythm = Rhythm()
    assert rhythm.period == 0.0
    assert not rhythm.silent(1e9)
    rhythm.observe(1.0, 0.0, 1.0)
    assert not rhythm.silent(1e9)


@pytest.mark.parametrize("step", [-1e9, -30.0, -0.5, 0.5, 30.0, 1e9])
def test_after_a_step_of_its_clock_all_goes_on(sender: Sender, step: float) -> None:
    sender.packets(0, 200)
    sender.rhythm.forget()
    for number in range(200, 400):
        sender.packet(number + step / PERIOD, arrives=number)
    assert not sender.found


def test_a_clock_set_back_unnoticed_does_not_stop_the_counting(sender: Sender) -> None:
    sender.packets(0, 200)
    for number in range(200, 300):
        sender.packet(number - 500, arrives=number)
    assert not sender.found
    sender.packet(300 - 500 + 2, arrives=302)
    sender.packet(320 - 500, arrives=320)
    assert sender.found[MISSING] >= 2

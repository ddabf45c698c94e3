from __future__ import annotations

import itertools
import random

import pytest

from vla_inference_ros.core.run_state import Entry, RunState

NAME = "/vla/instruction"


def state(now: int) -> RunState:
    return RunState(lambda: now)


def tell(one: RunState, other: RunState) -> bool:
    keys, entries = list(one.known), one.known.values()
    return other.merge(
        [name for name, _ in keys],
        [each.value for each in entries],
        [each.time for each in entries],
        [stamp for _, stamp in keys],
        [each.guessed for each in entries],
    )


def tell_all(keepers: list[RunState], order: random.Random) -> None:
    """Each tells each other one, twice, in some order."""
    pairs = list(itertools.permutations(keepers, 2))
    order.shuffle(pairs)
    for _ in range(2):
        for one, other in pairs:
            tell(one, other)


def test_what_was_asked_for_last_holds_whatever_the_clocks_say() -> None:
    ahead, behind = state(2000), state(1000)
    assert ahead.ask(NAME, "first")
    assert tell(ahead, behind)
    assert behind.ask(NAME, "second")
    assert tell(behind, ahead)
    assert ahead.value(NAME) == behind.value(NAME) == "second"


def test_what_is_from_before_does_not_replace_what_is_later() -> None:
    keeper = state(1000)
    keeper.ask(NAME, "later")
    assert not keeper.ask(NAME, "before", time=999)
    assert keeper.value(NAME) == "later"
    assert keeper.value("another") is None


def test_one_who_starts_learns_all_and_what_is_known_is_no_news() -> None:
    old, new = state(1000), state(2000)
    for name in ("a", "b"):
        old.ask(name, name.upper())
    assert tell(old, new)
    assert new.entries == old.entries
    assert not tell(old, new)


def test_all_come_to_the_same_in_whatever_order_they_hear_of_it() -> None:
    order = random.Random(1)
    for _ in range(50):
        keepers = [state(order.randrange(1000)) for _ in range(4)]
        for number in range(6):
            order.choice(keepers).ask(order.choice("ab"), str(number))
        tell_all(keepers, order)
        assert all(keeper.entries == keepers[0].entries for keeper in keepers)


def test_a_message_whose_lengths_differ_is_refused_whole() -> None:
    keeper = state(1000)
    with pytest.raises(ValueError, match="zip"):
        keeper.merge(["a", "b"], ["1"], [1, 2])
    assert not keeper.entries


def test_names_beyond_all_measure_are_not_kept() -> None:
    keeper = state(1000)
    for number in range(1000):
        keeper.ask(f"name {number}", "value")
    assert len(keeper.entries) == 200
    assert keeper.ask("name 0", "another")
    assert keeper.entries["name 0"] == Entry(
        max(e.time for e in keeper.entries.values()), "another"
    )


def test_what_is_beyond_all_measure_does_not_keep_what_is_asked_for_later_from_being_kept() -> None:
    keeper = state(1000)
    for time in (2**64 - 1, 2**63, 10**18):
        assert not keeper.merge([NAME], ["from the far future"], [time])
    assert not keeper.merge([NAME, "n" * 2001], ["v" * 2001, "value"], [1, 1])
    furthest = 1000 + 10 * 365 * 86_400 * 10**9
    assert keeper.merge([NAME], ["ahead"], [furthest])
    keeper = RunState(lambda: 1001)
    keeper.merge([NAME], ["ahead"], [furthest])
    assert keeper.ask(NAME, "asked for now")
    assert keeper.value(NAME) == "asked for now"


def test_a_message_that_is_heard_again_was_asked_for_when_it_was_heard_first() -> None:
    """Its publisher's clock is ahead, and it keeps the message for a keeper that starts later."""
    hour = 3600
    old, other = state(1000), state(1000)
    assert old.ask(NAME, "insert", stamp=1000 + hour)
    assert tell(old, other)
    assert old.ask(NAME, "hold still", stamp=1001)
    assert tell(old, other)
    new = state(2000)
    assert new.ask(NAME, "insert", time=1000 + hour, stamp=1000 + hour)
    assert not tell(new, old)
    assert tell(old, new)
    assert old.value(NAME) == new.value(NAME) == "hold still"
    assert old.known == new.known == other.known


def test_what_another_clock_stamped_ahead_does_not_outlast_what_is_said_after_it() -> None:
    now = [1000]
    keeper = RunState(lambda: now[0])
    keeper.ask(NAME, "insert", time=10**9, stamp=10**9)
    now[0] = 1001
    keeper.ask(NAME, "hold still", time=1001, stamp=1001)
    assert keeper.value(NAME) == "hold still"


@pytest.mark.parametrize("first", ["old", "new"])
def test_who_was_just_started_does_not_take_a_new_message_for_an_old_one(first: str) -> None:
    """Its publisher's clock is behind, and a keeper that was there knows that it is new."""
    old, new = state(5000), state(5000)
    old.ask(NAME, "insert", stamp=1)
    assert tell(old, new)
    old.ask(NAME, "hold still", stamp=2)
    new.ask(NAME, "hold still", time=2, stamp=2)
    for one, other in ((old, new), (new, old)) if first == "old" else ((new, old), (old, new)):
        tell(one, other)
    assert old.value(NAME) == new.value(NAME) == "hold still"
    assert old.known == new.known


def test_nothing_that_was_set_keeps_a_message_from_being_kept() -> None:
    keeper = state(1000)
    for number in range(1000):
        keeper.ask(f"node {number}", "value")
    for number in range(1, 1000):
        assert keeper.ask(NAME, f"say {number}", stamp=number)
        assert keeper.value(NAME) == f"say {number}"
    assert len(keeper.of(NAME)) == 64
    assert len(keeper.entries) == 200 + 1


def test_all_come_to_the_same_of_messages_that_each_hears_at_another_time() -> None:
    order = random.Random(2)
    for _ in range(50):
        keepers = [state(1000 + order.randrange(1000)) for _ in range(4)]
        for stamp in range(1, 7):
            for keeper in order.sample(keepers, 2):
                keeper.ask(NAME, f"say {stamp}", order.choice([None, stamp]), stamp=stamp)
        tell_all(keepers, order)
        assert all(keeper.known == keepers[0].known for keeper in keepers)

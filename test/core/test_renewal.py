"""What comes again with a new time is as old as it was, and what is new for long enough is fine."""

from __future__ import annotations

import pytest

from vla_inference_ros.core.renewal import JUDGED, MEMORY, Renewal

START = 1_700_000_000.0
PERIOD = 0.1


@pytest.fixture
def renewal() -> Renewal:
    return Renewal(dead_after=0.3, tolerated=0.15)


def feed(renewal: Renewal, contents: list[int], start: float = START) -> list[bool]:
    """Whether it is stale after each of these contents, one in each ``PERIOD``."""
    stale = []
    for n, content in enumerate(contents):
        renewal.add(start + n * PERIOD, content)
        stale.append(renewal.is_stale)
    return stale


def test_one_old_item_is_told_until_all_has_been_new_for_a_second(renewal: Renewal) -> None:
    contents = [0, 1, 2, 3, 4, 0, *range(10, 40)]
    stale = feed(renewal, contents)
    count = round(JUDGED / PERIOD)
    assert stale[5 : 5 + count - 1] == [True] * (count - 1)
    assert not any(stale[:5] + stale[5 + count + 1 :])
    assert renewal.comes_again


def test_a_ring_of_which_an_item_is_new_now_and_then_is_told_on(renewal: Renewal) -> None:
    ring = [n % 5 if n % 7 else 1000 + n for n in range(60)]
    assert all(feed(renewal, ring)[6:])


@pytest.mark.parametrize(("seconds", "stale"), [(MEMORY - 1, True), (MEMORY + 1, False)])
def test_content_is_remembered_since_it_was_there_last(
    seconds: float, stale: bool, renewal: Renewal
) -> None:
    length = round(seconds / PERIOD)
    assert feed(renewal, [n % length for n in range(3 * length)])[-1] == stale


def test_what_stays_is_not_what_comes_again(renewal: Renewal) -> None:
    assert feed(renewal, [1, 2, *[3] * 400])[-1]
    assert not renewal.comes_again


def test_an_item_that_is_delivered_twice_is_no_old_one(renewal: Renewal) -> None:
    for n in range(50):
        for back in (0, 4, 0):  # also much later, and out of order
            renewal.add(START + max(0, n - back) * PERIOD, max(0, n - back))
            assert not renewal.is_stale


def test_time_that_is_set_back_far_begins_anew(renewal: Renewal) -> None:
    """As when a recording is played again."""
    contents = list(range(100))
    assert not any(feed(renewal, contents) + feed(renewal, contents, START + 0.01))


def test_what_jumps_back_a_little_is_not_forgotten(renewal: Renewal) -> None:
    for n in range(50):
        renewal.add(START + n * PERIOD - (n % 2), n % 5)
    assert renewal.is_stale


def test_old_items_without_end_do_not_pile_up(renewal: Renewal) -> None:
    """Of a sender whose times do not go on."""
    for content in range(50_000):
        renewal.add(START, content)
    renewal.add(START + 1.0, 0)
    assert not renewal.is_stale
    renewal.add(START + 1.0, 49_999)
    assert renewal.is_stale

"""What a recorder's inbox tells of messages that never arrived, by their publisher's numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_disk import Bench, benches

from vla_inference_ros.nodes.numbered_inbox import HeardTwice, NumberedInbox


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


class Numbered:
    """An inbox with messages of some numbers."""

    topic = "/topic"

    def __init__(self, *numbers: int, publishers: int = 1) -> None:
        self.numbers, self.publishers = numbers, publishers

    def count_publishers(self) -> int:
        return self.publishers

    def take_with_info(self) -> list[tuple[str, dict[str, int]]]:
        return [
            ("message", {"publication_sequence_number": number, "source_timestamp": number})
            for number in self.numbers
        ]


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [((5, 6, 7), 0), ((1, 2, 4), 1), ((3, 7, 8, 10), 4), ((9, 1, 2), 0), ((9, 1, 3), 1), ((), 0)],
)
def test_messages_that_never_arrived_are_counted(
    make: Callable[..., Bench], numbers: tuple[int, ...], lost: int
) -> None:
    node = make().node
    for shared in (True, False):
        inbox: Any = Numbered(*numbers)
        taken = list(NumberedInbox(node, inbox, node.kinds["sensor"], shared=shared).take())
        assert taken == [("message", number) for number in numbers]
        told = {"lost on the way": lost} if lost and not shared else {}
        assert dict(node.kinds["sensor"].tally.read().problems) == told


def test_of_several_publishers_it_is_warned_and_nothing_is_counted(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    node = make().node
    inbox: Any = Numbered(900, 3, 901, 4, publishers=2)
    list(NumberedInbox(node, inbox, node.kinds["sensor"]).take())
    assert dict(node.kinds["sensor"].tally.read().problems) == {}
    assert "sensor: 2 nodes publish /topic, and all is saved" in capfd.readouterr().err


def test_what_two_subscriptions_hear_is_one_message(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever each hears it, and though simulated time goes on between the two."""
    node = make().node
    monkeypatch.setattr(node, "now", iter(range(1, 9)).__next__)
    kept, live = Numbered(5, 6), Numbered()
    inboxes: list[Any] = [kept, live]
    inbox = NumberedInbox(node, HeardTwice(*inboxes), node.kinds["sensor"], shared=True)
    inbox._simulated = True
    assert len(list(inbox.take())) == 2
    kept.numbers, live.numbers = (), (5, 6, 7)
    assert len(list(inbox.take())) == 1
    kept.numbers, live.numbers = (7, 8), (8, 9)
    assert len(list(inbox.take())) == 2

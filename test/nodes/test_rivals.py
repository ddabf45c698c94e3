"""Whether a rival is there is known before anything is published, and told while it is not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.nodes.rivals import Rivals

TOPIC = "/vla/actions"
OWN, OTHER = 7, 8  # source ids


Hearer = Callable[[ActionChunk, dict[str, Any]], None]


class Node:
    """Stands in for the node; the test says when its timer is due, and who publishes."""

    def __init__(self) -> None:
        self.source_id = OWN
        self.publishers = 1
        self.look: Callable[[], None] | None = None
        self.hear: Hearer | None = None

    def create_timer(self, period: float, callback: Callable[[], None], clock: object) -> None:
        self.period, self.look = period, callback

    def count_publishers(self, topic: str) -> int:
        return self.publishers

    def get_publishers_info_by_topic(self, topic: str) -> list[Any]:
        return []

    def create_subscription(
        self, kind: type, topic: str, callback: Hearer, *args: Any, **more: Any
    ) -> object:
        self.hear = callback
        return callback

    def destroy_subscription(self, subscription: object) -> None:
        self.hear = None

    def look_for(self, seconds: float) -> None:
        assert self.look is not None
        for _ in range(round(seconds / self.period)):
            self.look()

    def say(self, who: int, chunk_id: int = 0, later: float = 0.0) -> None:
        assert self.hear is not None
        said = {"source_timestamp": int((time.time() + later) * 1e9)}
        self.hear(ActionChunk(source_id=who, chunk_id=chunk_id), said)


def rivals_of(node: Any, period: float = 0.1, *, allow_several: bool = False) -> Rivals:
    return Rivals(node, TOPIC, period, allow_several=allow_several)


@pytest.fixture
def node() -> Node:
    return Node()


def test_nothing_is_published_before_discovery_has_had_its_time(node: Node) -> None:
    rivals = rivals_of(node)
    assert rivals.conflict == f"looking for other publishers of {TOPIC}"
    node.look_for(0.8)
    assert rivals.conflict
    node.look_for(0.4)
    assert rivals.conflict == ""


@pytest.mark.parametrize("found_after", [0.1, 0.9])
def test_a_rival_that_was_there_first_is_a_conflict_from_the_start(
    found_after: float, node: Node
) -> None:
    rivals = rivals_of(node)
    node.look_for(found_after)
    node.publishers = 2
    node.look_for(0.5)  # it takes a while to be discovered by the other
    assert rivals.conflict.startswith("looking for")
    node.say(OTHER)
    assert "more than one publisher" in rivals.conflict
    node.look_for(0.5)
    assert "more than one publisher" in rivals.conflict


def test_a_publisher_that_says_nothing_is_what_a_restart_has_left(node: Node) -> None:
    rivals = rivals_of(node)
    node.publishers = 2
    node.look_for(1.2)
    assert rivals.conflict == ""
    rivals.note(3)
    node.say(OWN, chunk_id=3)
    assert rivals.conflict == ""


@pytest.mark.parametrize(
    ("chunk_id", "times", "later"), [(4, 1, 0.0), (3, 2, 0.0), (3, 1, 5.0)], ids=str
)
def test_what_this_node_did_not_publish_just_then_is_a_copy(
    chunk_id: int, times: int, later: float, node: Node
) -> None:
    rivals = rivals_of(node)
    node.publishers = 2
    node.look_for(1.2)
    rivals.note(3)
    for _ in range(times):
        node.say(OWN, chunk_id=chunk_id, later=later)
    assert "more than one publisher" in rivals.conflict


def test_of_a_slow_rival_the_next_message_is_waited_for(node: Node) -> None:
    rivals = rivals_of(node, period=5.0)
    node.publishers = 2
    node.look_for(5.0)
    assert rivals.conflict.startswith("looking for")
    node.look_for(1.0)
    assert rivals.conflict == ""


def test_where_several_may_publish_nobody_is_looked_for(node: Node) -> None:
    assert rivals_of(node, allow_several=True).conflict == ""
    assert node.look is None


def test_a_rival_that_comes_later_is_a_conflict_while_it_speaks(node: Node) -> None:
    rivals = rivals_of(node)
    node.look_for(1.2)
    node.publishers = 2
    node.look_for(0.1)
    assert rivals.conflict == ""
    node.say(OTHER)
    assert "more than one publisher" in rivals.conflict

"""Whether those that a recording is played to are ready: up and active, and listening.

Who has answered a question knows this node's publishers, as far as they were there before: what is
published from then on reaches him. Only to know of him, as a publisher soon does, is not enough.
For one thread, which must not be the executor's: that one brings the answers in.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

_ASK_AGAIN = 1.0  # who has not answered for so long [s]
# Nobody has come or gone for so long: all are there. Fast DDS announces a node again after 3 s [s].
_QUIET = 3.5


class Audience:
    """The managed nodes ``names``, and who publishes and listens to ``topics``. Those of ``own``
    are published by this node.
    """

    def __init__(
        self, node: Node, names: Sequence[str], topics: Sequence[str], own: Sequence[str]
    ) -> None:
        self._node = node
        self._topics, self._own = topics, own
        self._managed = {name: _state_of(node, name) for name in names}
        self._listeners: dict[str, _Question] = {}
        self._counts: list[tuple[int, int]] = []
        self._changed = time.monotonic()

    def inactive(self) -> list[str]:
        """The managed nodes that are not known to be active."""
        return [name for name, question in self._managed.items() if not question.is_answered()]

    def is_gathered(self) -> bool:
        """Whether nobody has come or gone for a while."""
        counts = [
            (self._node.count_publishers(topic), self._node.count_subscribers(topic))
            for topic in self._topics
        ]
        if counts != self._counts:
            self._counts, self._changed = counts, time.monotonic()
        return time.monotonic() - self._changed >= _QUIET

    def missing(self, expected: Mapping[str, Sequence[str]]) -> list[str]:
        """What is not as it should be, in plain words: who is ``expected`` to listen to a topic and
        does not, and who listens to this node and has not answered yet.
        """
        found = [
            f"{name} does not listen to {topic}"
            for topic, names in expected.items()
            for name in set(names).difference(self._listeners_of(topic).values())
        ]
        names = sorted({name for topic in self._own for name in self._listeners_of(topic)})
        return found + [f"{name} does not answer" for name in names if not self._answers(name)]

    def _listeners_of(self, topic: str) -> dict[str, str]:
        """The name, by the full name, of each node that listens."""
        return {
            f"{listener.node_namespace.rstrip('/')}/{listener.node_name}": listener.node_name
            for listener in self._node.get_subscriptions_info_by_topic(topic)
        }

    def _answers(self, name: str) -> bool:
        if name not in self._listeners:
            self._listeners[name] = _Question(
                self._node, GetParameters, f"{name}/get_parameters", lambda _: True
            )
        return self._listeners[name].is_answered()


class _Question:
    """Asked again and again until an answer ``suits``: what is asked too early is lost."""

    def __init__(
        self, node: Node, service_type: Any, service: str, suits: Callable[[Any], bool]
    ) -> None:
        self._request, self._suits = service_type.Request(), suits
        self._client = node.create_client(service_type, service)
        self._futures: list[Any] = []
        self._asked = -math.inf

    def is_answered(self) -> bool:
        """Whether a suitable answer has come."""
        if any(map(self._suits, self._answers())):
            return True
        now = time.monotonic()
        if now - self._asked > _ASK_AGAIN and self._client.service_is_ready():
            self._asked = now
            self._futures.append(self._client.call_async(self._request))
        return False

    def _answers(self) -> Iterator[Any]:
        return (future.result() for future in self._futures if future.done())


def _state_of(node: Node, name: str) -> _Question:
    """Whether a managed node is active; it answers once it has started."""
    return _Question(
        node,
        GetState,
        f"/{name}/get_state",
        lambda answer: bool(answer.current_state.id == State.PRIMARY_STATE_ACTIVE),
    )

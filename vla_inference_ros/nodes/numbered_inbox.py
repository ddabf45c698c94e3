"""What a recorder reads a topic by, which tells what has not arrived."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

from vla_inference_ros.nodes.simulated_time import is_simulated
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode

_REMEMBERED = 200  # messages: all that two subscriptions hold


class Heard(Protocol):
    """A topic that is read when it is asked for, as an ``Inbox`` does it."""

    @property
    def topic(self) -> str:
        """Its full name."""

    def count_publishers(self) -> int:
        """How many publish on it."""

    def take_with_info(self) -> list[tuple[Any, dict[str, Any]]]:
        """The messages since the last call, each with what the middleware knows of it."""


class HeardTwice:
    """A topic of two subscriptions, where none hears all publishers: each message once."""

    def __init__(self, *inboxes: Heard) -> None:
        self._inboxes = inboxes
        self.topic = inboxes[0].topic
        self._newest: deque[tuple[int, Any]] = deque(maxlen=_REMEMBERED)

    def count_publishers(self) -> int:
        """How many publish on it."""
        return self._inboxes[0].count_publishers()

    def take_with_info(self) -> list[tuple[Any, dict[str, Any]]]:
        """The messages since the last call that no other subscription had."""
        found = [each for inbox in self._inboxes for each in inbox.take_with_info()]
        return [each for each in found if self._is_new(*each)]

    def _is_new(self, message: Any, info: dict[str, Any]) -> bool:
        known = (info["source_timestamp"], message)
        if known in self._newest:
            return False
        self._newest.append(known)
        return True


class NumberedInbox:
    """An inbox that notices when a message never arrives, and tells when each was published; by
    simulated time, as much before now as it was.

    Each publisher numbers its own messages, and a message does not tell whose it is: of a topic
    that is ``shared`` by several nothing is noticed, and of another it is warned.
    """

    def __init__(
        self, node: VlaNode[Any], inbox: Heard, stream: Stream, *, shared: bool = False
    ) -> None:
        self.inbox = inbox
        self._node, self._stream, self._shared = node, stream, shared
        self._simulated = is_simulated(node)
        self._last: int | None = None

    def take(self) -> Iterator[tuple[Any, int]]:
        """The messages since the last call, each with when it was published [Unix ns]. None from
        before simulated time has begun: they would seem to be from 1970.
        """
        now = self._node.now()
        shift = round((now - time.time()) * 1e9) if self._simulated else 0
        for message, info in self.inbox.take_with_info():
            if not self._shared:
                self._check(info["publication_sequence_number"])
            if now:
                yield message, info["source_timestamp"] + shift

    def _check(self, number: int) -> None:
        lost = 0 if self._last is None else number - self._last - 1
        self._last = number
        if lost <= 0:
            return
        if (publishers := self.inbox.count_publishers()) > 1:
            self._stream.warn(
                "several publishers",
                f"{publishers} nodes publish {self.inbox.topic}, and all is saved: does another "
                "run have the same ROS_DOMAIN_ID?",
            )
            return
        self._stream.problem(
            "lost on the way", f"{lost} message(s) never arrived: is the machine overloaded?", lost
        )

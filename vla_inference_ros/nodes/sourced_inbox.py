"""A topic of this package's own messages, from one publisher alone: a stranger's are refused."""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.qos import QoSProfile

from vla_inference_ros.core.source import QUIET_NODE, Counts, Source
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode

Message = TypeVar("Message")

_ASK_AGAIN = 1.0  # who publishes on a topic, which takes longer than all else here [s]


def several_parameter() -> bool:
    """The parameter field ``allow_several_publishers``."""
    allowed: bool = parameter(
        False,
        "take what each of several publishers says on a topic; false: only the first is heard, as "
        "long as it speaks, and nothing is OK while there is another",
    )
    return allowed


class Conflict:
    """Says who publish on a topic that has more than one source. For one thread."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic = node, topic
        self._names: list[str] = []
        self._asked = 0.0

    def __str__(self) -> str:
        now = time.monotonic()
        if now - self._asked > _ASK_AGAIN:
            self._asked = now
            publishers = self._node.get_publishers_info_by_topic(self._topic)
            self._names = sorted(publisher.node_name for publisher in publishers)
        return f"{self._topic} has more than one publisher: {', '.join(self._names)}"


class Copies:
    """Tells who says what a topic's source has said, or something else in its name: messages with
    one ``source_id`` that two publishers count. For one thread.
    """

    def __init__(self, node: Node, topic: str, *, allow_several: bool) -> None:
        self._node, self._topic = node, topic
        self._publishers = Source[int](QUIET_NODE, allow_several=allow_several)
        self._counts = Counts()
        self._source_id = 0

    def is_of_source(self, source_id: int, info: dict[str, Any]) -> bool:
        """Whether a message is of the publisher that ``source_id`` was heard from first; ``info``
        is what the middleware says of it.
        """
        # A single publisher has nobody beside it, however long it has paused.
        is_alone = self._node.count_publishers(self._topic) <= 1
        if is_alone or source_id != self._source_id:
            self._publishers.forget()
        self._source_id = source_id
        number, now = info["publication_sequence_number"], time.monotonic()
        return self._publishers.admit(self._counts.who(number, now, is_alone=is_alone))

    def stay(self) -> None:
        """The source is still there, though it has published nothing here."""
        if self._publishers.bound is not None:
            self._publishers.admit(self._publishers.bound)
            self._counts.stay(self._publishers.bound, time.monotonic())

    def are_heard(self) -> bool:
        """Whether somebody else publishes in the source's name."""
        return bool(self._publishers.strangers())

    def forget(self) -> None:
        """Start over, as after a pause."""
        self._publishers.forget()


class SourcedInbox(Generic[Message]):
    """Reads what the topic's source says; its messages have a ``source_id``. For one thread."""

    def __init__(
        self,
        node: VlaNode[Any],
        message_type: type[Message],
        topic: str,
        profile: QoSProfile,
        stage: Stream,
        source: Source[int],
        *,
        allow_several: bool,
    ) -> None:
        """What ``source`` does not admit is counted by ``stage``, and what others say in its name
        unless ``allow_several``.
        """
        self._inbox = Inbox(node, message_type, topic, profile)
        self._stage, self._source = stage, source
        self._copies = Copies(node, self._inbox.topic, allow_several=allow_several)
        self._conflict = Conflict(node, self._inbox.topic)

    def take(self) -> list[Message]:
        """The source's messages since the last call, oldest first."""
        messages = self._inbox.take_with_info()
        admitted = [message for message, info in messages if self._admits(message, info)]
        if refused := len(messages) - len(admitted):
            self._stage.problem(
                "other publisher",
                f"messages of a second publisher are not used: {self._conflict}",
                refused,
                told=True,
            )
        return admitted

    def conflict(self) -> str:
        """Who else speaks, in plain words; '' if nobody does."""
        speak = self._source.strangers() or self._copies.are_heard()
        return str(self._conflict) if speak else ""

    def stay(self) -> None:
        """The source has reported, and may have nothing to say here."""
        self._copies.stay()

    def forget(self) -> None:
        """Start over, as after a pause."""
        self._source.forget()
        self._copies.forget()

    def _admits(self, message: Any, info: dict[str, Any]) -> bool:
        if not self._source.admit(message.source_id):
            return False
        return self._copies.is_of_source(message.source_id, info)

"""A topic of this package's own messages, from one publisher alone: a stranger's are refused."""

from __future__ import annotations

import time
from typing import Any, Generic, TypeVar

from rclpy.node import Node
from rclpy.qos import QoSProfile

from vla_inference_ros.core.source import Source
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
    ) -> None:
        """What ``source`` does not admit is counted by ``stage``."""
        self._inbox = Inbox(node, message_type, topic, profile)
        self._stage, self._source = stage, source
        self._conflict = Conflict(node, self._inbox.topic)

    def take(self) -> list[Message]:
        """The source's messages since the last call, oldest first."""
        messages = self._inbox.take()
        admitted = [each for each in messages if self._source.admit(each.source_id)]  # type: ignore[attr-defined]
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
        return str(self._conflict) if self._source.strangers() else ""

"""A topic that is read when its messages are needed, by who needs them, instead of calling back.

A callback for every message would wake the executor for each of 150 pictures, 100 robot states and
44 sensor batches a second, and make it compete with the thread that works to the clock. Here the
middleware keeps the newest messages, as many as the topic's depth, until they are asked for.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

Message = TypeVar("Message")


class Inbox(Generic[Message]):
    """Subscribes without a callback. For one thread at a time."""

    def __init__(
        self,
        node: Node,
        message_type: type[Message],
        topic: str,
        profile: QoSProfile,
        *,
        raw: bool = False,
    ) -> None:
        """Of older messages than ``profile`` has room for, nothing is kept. With ``raw`` a message
        is the bytes that were sent.
        """
        self._node = node
        self._raw = raw
        self._profile = profile
        self._has_heard = False
        # The default event callbacks would wake the executor with every message all the same.
        self._subscription = node.create_subscription(
            message_type,
            topic,
            _never_called,
            profile,
            raw=raw,
            callback_group=_Unattended(),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )

    def take(self) -> list[Message]:
        """The messages since the last call, oldest first."""
        return [message for message, _ in self.take_with_info()]

    def take_with_info(self) -> list[tuple[Message, dict[str, Any]]]:
        """Likewise, each with the middleware's ``source_timestamp``, when it was published [ns],
        and ``publication_sequence_number``.
        """
        handle = self._subscription.handle
        taken: list[tuple[Message, dict[str, Any]]] = []
        with handle:  # keeps it alive meanwhile
            while len(taken) < self._profile.depth:
                next_one = handle.take_message(self._subscription.msg_type, self._raw)
                if next_one is None:
                    break
                taken.append(next_one)
        self._has_heard |= bool(taken)
        return taken

    def newest(self) -> Message | None:
        """The newest message since the last call; None if none has come."""
        messages = self.take()
        return messages[-1] if messages else None

    def close(self) -> None:
        """Give the subscription up."""
        self._node.destroy_subscription(self._subscription)

    @property
    def topic(self) -> str:
        """The topic's full name."""
        return str(self._subscription.topic_name)

    def count_publishers(self) -> int:
        """How many publish on the topic, as far as is known."""
        return self._node.count_publishers(self.topic)

    def why_silent(self) -> str:
        """What keeps messages from coming, as far as the topic's publishers tell."""
        topic = self.topic
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return f"{topic} has no publisher"
        for publisher in publishers:
            compatible, reason = qos_check_compatible(publisher.qos_profile, self._profile)
            if compatible is QoSCompatibility.ERROR:
                return f"{topic} of node {publisher.node_name} does not fit: {reason}"
        comes = "nothing comes any more" if self._has_heard else "nothing has come"
        return f"{topic} has a publisher, but {comes}"


class _Unattended(CallbackGroup):
    """Keeps a subscription from the executor."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass


def _never_called(_: Any) -> None:
    raise AssertionError("the executor must not take messages of an unattended subscription")

"""A topic of which only the newest message matters: read when it is needed, by who needs it.

A callback for every message would wake the executor for each of 150 pictures and 100 robot states a
second, to throw nearly all of them away; here the middleware keeps the newest one instead.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

Message = TypeVar("Message")


class Newest(Generic[Message]):
    """Subscribes without a callback. For one thread at a time."""

    def __init__(
        self, node: Node, message_type: type[Message], topic: str, profile: QoSProfile
    ) -> None:
        """``profile`` must have depth 1, so that what is kept is the newest."""
        if profile.depth != 1:
            raise ValueError(f"depth of {topic} is {profile.depth}, not 1")
        self._node = node
        self._profile = profile
        # The default event callbacks would wake the executor with every message all the same.
        self._subscription = node.create_subscription(
            message_type,
            topic,
            _never_called,
            profile,
            callback_group=_Unattended(),
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )

    def take(self) -> Message | None:
        """The newest message, once: None if none has come since the last call."""
        handle = self._subscription.handle
        with handle:  # keeps it alive meanwhile
            taken = handle.take_message(self._subscription.msg_type, False)
        return None if taken is None else taken[0]

    def why_silent(self) -> str:
        """What keeps messages from coming, as far as the topic's publishers tell."""
        topic = self._subscription.topic_name
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return f"{topic} has no publisher"
        for publisher in publishers:
            compatible, reason = qos_check_compatible(publisher.qos_profile, self._profile)
            if compatible is QoSCompatibility.ERROR:
                return f"{topic} of node {publisher.node_name} does not fit: {reason}"
        return f"{topic} has a publisher, but nothing has come"


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

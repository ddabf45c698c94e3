"""The pictures on a topic, from one publisher alone, whichever driver that is."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile

from vla_inference_ros.core.source import Counts, Source
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.sourced_inbox import Conflict


class PictureInbox:
    """Pictures do not say whose they are: their publishers are told by how each counts its
    messages. For one thread.
    """

    def __init__(
        self,
        node: Node,
        message_type: type[Any],
        topic: str,
        profile: QoSProfile,
        allow_several: bool,
    ) -> None:
        self._inbox: Inbox[Any] = Inbox(node, message_type, topic, profile)
        self._source = Source[int](allow_several=allow_several)
        self._counts = Counts()
        self._conflict = Conflict(node, self._inbox.topic)

    def take(self) -> tuple[list[Any], int]:
        """(the pictures since the last call, oldest first, as many as ``profile`` has room for; how
        many of another publisher there were).
        """
        taken, refused = [], 0
        is_alone = self._inbox.count_publishers() <= 1
        now = time.monotonic()
        for message, info in self._inbox.take_with_info():
            who = self._counts.who(info["publication_sequence_number"], now, is_alone=is_alone)
            if self._source.admit(who):
                taken.append(message)
            else:
                refused += 1
        return taken, refused

    def conflict(self) -> str:
        """Who else publishes, in plain words; '' if nobody does."""
        return str(self._conflict) if self._source.strangers() else ""

    def forget(self) -> None:
        """Start over, as after a pause."""
        self._source.forget()

    def why_silent(self) -> str:
        """What keeps pictures from coming, as far as is known."""
        return self._inbox.why_silent()

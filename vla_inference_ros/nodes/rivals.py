"""Whether another node publishes on a topic of this node's own."""

from __future__ import annotations

import math
import time
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vla_inference_ros.core.source import Source
from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.nodes.sourced_inbox import Conflict
from vla_inference_ros.nodes.vla_node import VlaNode

_LOOK_PERIOD = 0.1  # [s]
# Nodes announce themselves every half second: after two of these all that are there are known, but
# only to an executor that has had the time to look.
_DISCOVERY = 10  # looks
# From when this node listens, until it has heard what is said: to be discovered by the other one.
_MATCHING = 5  # looks
_COPY = -1  # stands for whoever says again, or invents, what this node says; no process's number
_AT_ONCE = 1.0  # between a chunk's being noted and being published, on a busy machine too [s]
_REMEMBERED = 1000  # chunks: more than can wait to be heard


class Rivals:
    """Listens to the topic of chunks only while it has more publishers than this node, as after a
    restart: else its own messages alone would come back. In the executor's thread; any may read.

    What bears this node's ``source_id`` is its own only if this node published it just then: its
    chunks can be recorded, and played beside it.

    ``conflict`` says who publishes as well, and at first that this is not known yet: what this node
    published meanwhile would come beside what a rival does. '' if nobody does.
    """

    def __init__(
        self, node: VlaNode[Any], topic: str, period: float, *, allow_several: bool
    ) -> None:
        """A rival publishes every ``period`` [s], as this node does."""
        self.conflict = "" if allow_several else f"looking for other publishers of {topic}"
        self._node, self._topic = node, topic
        self._source = Source[int]()
        self._conflict = Conflict(node, topic)
        self._subscription: Subscription[Any] | None = None
        self._looks = _DISCOVERY  # that are left until it is known who publishes
        self._listening = _MATCHING + math.ceil(period / _LOOK_PERIOD)  # so many of these at least
        self._published: dict[int, float] = {}  # when each chunk was, by its id [Unix s]
        self._heard: dict[int, None] = {}  # the ids of those that have come back
        if not allow_several:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            node.create_timer(_LOOK_PERIOD, self._look, clock=steady)

    def note(self, chunk_id: int) -> None:
        """This node is about to publish a chunk. For the thread that does."""
        self._published[chunk_id] = time.time()
        if len(self._published) > _REMEMBERED:
            del self._published[next(iter(self._published))]

    def _look(self) -> None:
        crowded = self._node.count_publishers(self._topic) > 1
        if crowded and self._subscription is None:
            self._subscription = self._node.create_subscription(
                ActionChunk, self._topic, self._hear, QoSProfile(depth=20)
            )
            if self._looks:
                self._looks = max(self._looks, self._listening)
        elif self._subscription is not None and not crowded:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._looks = max(0, self._looks - 1)
        self._judge()

    def _hear(self, chunk: ActionChunk, info: dict[str, Any]) -> None:
        is_own = chunk.source_id == self._node.source_id
        if is_own and not self._comes_back(chunk.chunk_id, info["source_timestamp"] * 1e-9):
            self._judge(_COPY)
        else:
            self._judge(chunk.source_id)

    def _comes_back(self, chunk_id: int, said: float) -> bool:
        """Whether a chunk that was published at ``said`` [Unix s] is what this node published."""
        published = self._published.get(chunk_id)
        if published is None or chunk_id in self._heard or abs(said - published) > _AT_ONCE:
            return False
        self._heard[chunk_id] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return True

    def _judge(self, who: int | None = None) -> None:
        self._source.admit(self._node.source_id)  # it is here, whether it has just published or not
        if who is not None:
            self._source.admit(who)
        if self._source.strangers():
            self.conflict = str(self._conflict)
        elif not self._looks:
            self.conflict = ""

"""Whether another node publishes on a topic of this node's own."""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from vla_inference_ros.core.source import Source
from vla_inference_ros.nodes.sourced_inbox import Conflict
from vla_inference_ros.nodes.vla_node import VlaNode

_LOOK_PERIOD = 0.5  # [s]
_ID_BYTES = 8  # of source_id, the last field of a message


class Rivals:
    """Listens to the topic only while it has more publishers than this node, as after a restart:
    else its own messages alone would come back. In the executor's thread; any may read.
    """

    def __init__(
        self, node: VlaNode[Any], message_type: Any, topic: str, *, allow_several: bool
    ) -> None:
        self.conflict = ""
        self._node, self._type, self._topic = node, message_type, topic
        self._source = Source[int]()
        self._conflict = Conflict(node, topic)
        self._subscription: Subscription[Any] | None = None
        if not allow_several:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            node.create_timer(_LOOK_PERIOD, self._look, clock=steady)

    def _look(self) -> None:
        crowded = self._node.count_publishers(self._topic) > 1
        if crowded and self._subscription is None:
            self._subscription = self._node.create_subscription(
                self._type, self._topic, self._hear, QoSProfile(depth=20), raw=True
            )
        elif self._subscription is not None and not crowded:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self._judge()

    def _hear(self, data: bytes) -> None:
        self._judge(int.from_bytes(data[-_ID_BYTES:], "little"))

    def _judge(self, who: int | None = None) -> None:
        self._source.admit(self._node.source_id)  # it is here, whether it has just published or not
        if who is not None:
            self._source.admit(who)
        self.conflict = str(self._conflict) if self._source.strangers() else ""

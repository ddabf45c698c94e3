"""A second publisher on a topic that has one: what was said there once, as if it were new."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds, time_message
from vla_inference_ros.msg import ActionChunk, RobotState, SensorBatch, VLFeatures
from vla_inference_ros.nodes.inbox import Inbox

SOURCE_ID = 7  # that none of the nodes has, whose are random
_START_LIMIT = 5.0  # until there is something to say, and somebody who listens [s]
_DEPTH = QoSProfile(depth=10)


class SecondPublisher:
    """Says it every ``period`` [s] on ``topic``; ``streams`` are those that a verdict may name.
    Features are said to be of a ``model_id``, if it is given.
    """

    def __init__(
        self, kind: Any, topic: str, period: float, *streams: str, model_id: str = ""
    ) -> None:
        self.streams = frozenset(streams)
        self._kind, self._topic, self._period = kind, topic, period
        self._model_id = model_id

    def prepare(self, node: Node) -> None:
        """Hear what to say, and wait for those who listen."""
        inbox: Inbox[Any] = Inbox(node, self._kind, self._topic, _DEPTH)
        self._publisher = node.create_publisher(self._kind, self._topic, _DEPTH)
        self._message: Any = None
        deadline = time.monotonic() + _START_LIMIT
        # The nodes', not that of the bench alone.
        while self._message is None or self._publisher.get_subscription_count() < 3:
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing is said on {self._topic}, or nobody listens to it")
            self._message = inbox.newest() or self._message
            time.sleep(0.01)
        inbox.close()
        if self._model_id:
            self._message.model_id = self._model_id

    def __call__(self, stop: threading.Event, _: Mapping[str, int], node: Node) -> None:
        """Speak, as ``node``, until ``stop`` is set."""
        while not stop.wait(self._period):
            self._publisher.publish(_renewed(self._message))
        node.destroy_publisher(self._publisher)


SECOND_PUBLISHERS = {
    "View1": SecondPublisher(
        CompressedImage, "/camera/view1/image_raw/compressed", 1 / 30, "View1", "camera"
    ),
    "robot": SecondPublisher(RobotState, "/robot/state", 0.01, "robot"),
    "sensor": SecondPublisher(SensorBatch, "/sensor/samples", 0.02, "sensor"),
    "features": SecondPublisher(VLFeatures, "/vla/features", 0.4, "vla/features"),
    "actions": SecondPublisher(ActionChunk, "/vla/actions", 0.1, "vla/actions"),
}
OTHER_WEIGHTS = SecondPublisher(
    VLFeatures, "/vla/features", 0.4, "vla/features", model_id="another model"
)


def _renewed(template: Any) -> Any:
    """What was said, with the times of now."""
    message = copy.deepcopy(template)
    shift = time.time() - seconds(message.header.stamp)
    message.header.stamp = time_message(time.time())
    if isinstance(message, SensorBatch):
        message.stamps = [time_message(seconds(stamp) + shift) for stamp in message.stamps]
    if isinstance(message, VLFeatures):
        message.update_id += 1_000_000
        message.view_stamps = [message.header.stamp] * len(message.views)
        message.started = message.finished = message.header.stamp
    if hasattr(message, "source_id"):
        message.source_id = SOURCE_ID
    return message

"""Plain ROS with the package's settings: publishes pictures that grow, or hears them until killed.

picture_peer.py writer | reader
"""

from __future__ import annotations

import sys
from itertools import count

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.nodes.middleware import set_up_middleware

TOPICS = [f"/growing/view{number}" for number in (1, 2, 3)]
HEARS = "hears all"
_PERIOD = 0.05  # [s]
_SIZE, _GROWTH = 20_000, 8  # [bytes], [bytes each period]: no hole of an older picture is enough


def _write(node: Node) -> None:
    publishers = [node.create_publisher(CompressedImage, topic, 10) for topic in TOPICS]
    pictures = count()

    def publish() -> None:
        data = bytes(_SIZE + _GROWTH * next(pictures))
        for publisher in publishers:
            publisher.publish(CompressedImage(data=data))

    node.create_timer(_PERIOD, publish)


def _read(node: Node) -> None:
    missing = set(TOPICS)

    def hear(topic: str) -> None:
        if topic in missing:
            missing.remove(topic)
            if not missing:
                print(HEARS, flush=True)

    for topic in TOPICS:
        node.create_subscription(
            CompressedImage, topic, lambda _, topic=topic: hear(topic), QoSProfile(depth=10)
        )


def main(role: str) -> None:
    set_up_middleware()
    rclpy.init()
    node = Node(f"picture_{role}")
    {"writer": _write, "reader": _read}[role](node)
    rclpy.spin(node)


if __name__ == "__main__":
    main(sys.argv[1])

"""Pictures from one process to others by ROS topics alone: the two bodies that bench/transport.py
runs, each as a command of its own. A body prints one line of JSON when it ends.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import resource
import signal
import sys
import threading
import time
from itertools import pairwise
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.middleware import set_up_middleware
from vla_inference_ros.recording.topics import IMAGES


def publish(fps: float, size: int, seconds_long: float, readers: int) -> dict[str, Any]:
    """All views at ``fps`` with pictures of ``size`` [bytes], once ``readers`` are there."""
    node = rclpy.create_node("pictures_out")
    publishers = [node.create_publisher(CompressedImage, topic, qos.IMAGES) for topic in topics()]
    while any(publisher.get_subscription_count() < readers for publisher in publishers):
        time.sleep(0.05)
    time.sleep(1.0)
    data = array.array("B", os.urandom(size))
    sent, worst, began, cpu = 0, 0.0, time.monotonic(), _cpu()
    while (due := began + sent / fps) < began + seconds_long:
        time.sleep(max(0.0, due - time.monotonic()))
        for publisher in publishers:
            message = CompressedImage(data=data)
            message.header.stamp = node.get_clock().now().to_msg()
            before = time.monotonic()
            publisher.publish(message)
            worst = max(worst, time.monotonic() - before)
        sent += 1
    result = {"sent": sent, "worst_publish": worst, "cpu": (_cpu() - cpu) / seconds_long}
    time.sleep(2.0)  # what is lost on the way is sent again
    return result


def receive() -> dict[str, Any]:
    """Take pictures until it is told to stop."""
    node = rclpy.create_node("pictures_in")
    latencies: list[float] = []
    arrivals: dict[str, list[float]] = {topic: [] for topic in topics()}

    def listen(topic: str) -> None:
        def take(data: bytes) -> None:
            stamp = [int.from_bytes(data[at : at + 4], "little") for at in (4, 8)]
            latencies.append(time.time() - stamp[0] - stamp[1] / 1e9)
            arrivals[topic].append(time.monotonic())

        node.create_subscription(CompressedImage, topic, take, qos.recorded(topic), raw=True)

    for topic in topics():
        listen(topic)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    cpu = 0.0
    while not stopping.is_set():
        executor.spin_once(timeout_sec=0.1)
        cpu = cpu or (_cpu() if latencies else 0.0)
    gaps = [b - a for times in arrivals.values() for a, b in pairwise(times)]
    return {
        "received": [len(times) for times in arrivals.values()],
        "latencies": latencies,
        "worst_gap": max(gaps, default=0.0),
        "cpu": _cpu() - cpu,
    }


def topics() -> list[str]:
    """Of all views."""
    return list(IMAGES.values())


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run the body that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("body", choices=["publish", "receive"])
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--size", type=int, default=150_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--readers", type=int, default=1)
    given = parser.parse_args()
    set_up_middleware()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    if given.body == "publish":
        result = publish(given.fps, given.size, given.seconds, given.readers)
    else:
        result = receive()
    print(json.dumps(result), flush=True)
    os._exit(0)  # the middleware's teardown is not what is measured


if __name__ == "__main__":
    sys.exit(main())

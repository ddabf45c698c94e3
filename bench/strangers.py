"""What somebody on the network or in the ROS domain can send beside the rig's own senders."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq
from rclpy.node import Node

from vla_inference_ros.convert import header
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes import qos

REPORTERS = 3000
_PERIOD = 0.02  # between two frames, or two rounds of reports [s]
_ROUND = 100  # reports
_JPEG = b"\xff\xd8 no picture \xff\xd9"
# In names that fit View1's rule: half a character, what moves a cursor, what turns the writing.
_NAMES = [f"left_41182735{text}" for text in ("\ud800", "\0", "\x1b[2J", "\r\n", "\u202e", "=1+1")]


def odd_cameras(stop: threading.Event, port: int, _: Node) -> None:
    """Frames of cameras with odd names, to the camera bridge."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://127.0.0.1:{port}")
        number = 0
        while not stop.wait(_PERIOD):
            name = _NAMES[number % len(_NAMES)]
            head = json.dumps({"camera": name, "timestamp": time.time()}).encode()
            push.send_multipart([head, _JPEG])
            number += 1


def invented_reporters(stop: threading.Event, _: int, node: Node) -> None:
    """Reports of nodes that there are not, each with a trouble."""
    publisher = node.create_publisher(StreamReport, "/vla/reports", qos.REPORTS)
    number = 0
    while not stop.wait(_PERIOD):
        for _ in range(_ROUND):
            number += 1
            name = f"a_{number % REPORTERS}\x1b[2J"
            stamp = header(time.time())
            publisher.publish(
                StreamReport(header=stamp, node=name, stream="x", troubles=["is on fire"])
            )
    node.destroy_publisher(publisher)


Stranger = Callable[[threading.Event, int, Node], None]


@contextmanager
def beside(stranger: Stranger | None, port: int, node: Node) -> Iterator[None]:
    """A stranger, if any, who sends meanwhile: to the camera bridge's ``port``, or as ``node``."""
    if stranger is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=stranger, args=(stop, port, node))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

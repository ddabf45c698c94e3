"""What somebody on the network or in the ROS domain can send beside the rig's own senders."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import zmq
from marks import FOREIGN_FRAME, foreign_force, marked_jpeg
from rclpy.node import Node
from threads import in_thread

from vla_inference_ros.convert import header
from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    MAX_SAMPLES_PER_DATAGRAM,
    SENSOR_RATE,
    CameraFrame,
    SensorDatagram,
)
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes import qos

REPORTERS = 3000
_PERIOD = 0.02  # between two frames, or two rounds of reports [s]
_ROUND = 100  # reports
_JPEG = b"\xff\xd8 no picture \xff\xd9"
# In names that fit View1's rule: half a character, what moves a cursor, what turns the writing.
_NAMES = [f"left_41182735{text}" for text in ("\ud800", "\0", "\x1b[2J", "\r\n", "\u202e", "=1+1")]


Ports = Mapping[str, int]  # that the bridges listen on, by the launch argument's name
Stranger = Callable[[threading.Event, Ports, Node], None]


@runtime_checkable
class Preparing(Protocol):
    """A stranger that needs a while before it can begin."""

    def prepare(self, node: Node) -> None:
        """Return once it can."""


def odd_cameras(stop: threading.Event, ports: Ports, _: Node) -> None:
    """Frames of cameras with odd names, to the camera bridge."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://127.0.0.1:{ports['camera_port']}")
        number = 0
        while not stop.wait(_PERIOD):
            name = _NAMES[number % len(_NAMES)]
            head = json.dumps({"camera": name, "timestamp": time.time()}).encode()
            push.send_multipart([head, _JPEG])
            number += 1


def invented_reporters(stop: threading.Event, _: Ports, node: Node) -> None:
    """Reports of nodes that there are not, each with a trouble."""
    publisher = node.create_publisher(StreamReport, "/vla/reports", qos.REPORTS)
    number = 0
    while not stop.wait(_PERIOD):
        for _round in range(_ROUND):
            number += 1
            name = f"a_{number % REPORTERS}\x1b[2J"
            stamp = header(time.time())
            publisher.publish(
                StreamReport(header=stamp, node=name, stream="x", troubles=["is on fire"])
            )
    node.destroy_publisher(publisher)


def second_sensor(ahead: float) -> Stranger:
    """Another program that sends samples, by a clock that is ``ahead`` [s]."""
    count = MAX_SAMPLES_PER_DATAGRAM
    ascan = np.zeros((count, ASCAN_LENGTH), np.float32)

    def send(stop: threading.Event, ports: Ports, _: Node) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.connect(("127.0.0.1", ports["sensor_port"]))
            while not stop.wait(count / SENSOR_RATE):
                now = time.time() + ahead
                times = now - np.arange(count)[::-1] / SENSOR_RATE
                datagram = SensorDatagram(times, np.full(count, now), foreign_force(count), ascan)
                udp.send(datagram.pack())

    return send


def second_camera(name: str) -> Stranger:
    """Another camera whose ``name`` fits View1's rule; its clock is 3 s ahead."""
    plain = cv2.imencode(".jpg", np.zeros((72, 128, 3), np.uint8))[1].tobytes()
    jpeg = marked_jpeg(plain, FOREIGN_FRAME)

    def send(stop: threading.Event, ports: Ports, _: Node) -> None:
        with zmq.Context() as context, context.socket(zmq.PUSH) as push:
            push.set(zmq.LINGER, 0)
            push.connect(f"tcp://127.0.0.1:{ports['camera_port']}")
            while not stop.wait(_PERIOD):
                now = time.time() + 3.0
                push.send_multipart(CameraFrame(name, now, jpeg, 128, 72, now).pack())

    return send


@contextmanager
def beside(stranger: Stranger | None, ports: Ports, node: Node) -> Iterator[None]:
    """A stranger, if any, who sends meanwhile: to the bridges' ``ports``, or as ``node``."""
    if stranger is None:
        yield
        return
    if isinstance(stranger, Preparing):
        stranger.prepare(node)
    with in_thread(lambda stop: stranger(stop, ports, node)):
        yield

"""The bridges as their senders see them: what they take, on real sockets, and what comes of it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np
import zmq
from geometry_msgs.msg import PoseStamped
from harness import NodeProcess, free_port, running
from mutations import Parts
from sensor_msgs.msg import CompressedImage, Image, JointState

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.msg import FrameInfo, RobotState, SensorBatch

PICTURE = cv2.imencode(".jpg", np.zeros((16, 24, 3), np.uint8))[1].tobytes()
# In names that fit View1's rule: what no text may hold, what acts on a terminal, what is long.
ODD = ["\ud800", "\udfff\ud800", "\0", "\x1b[2J", "\r\n", "\u202e", "\x85", "=1+1", "x" * 60_000]


@dataclass
class Stream:
    """One bridge: its topics, how its packets are sent, and a good one of a given time."""

    node: str
    stream: str
    topics: dict[str, type]
    send: Callable[[Parts], object]
    good: Callable[[float], Parts]
    odd: list[Parts] = field(default_factory=list)


def header(**entries: object) -> bytes:
    return json.dumps({"camera": "left_41182735", "timestamp": time.time(), **entries}).encode()


def frame(acquired: float) -> Parts:
    return CameraFrame("left_41182735", acquired, PICTURE, 24, 16, acquired + 0.01).pack()


def packet(acquired: float) -> Parts:
    return RobotPacket(acquired, acquired + 0.01, 1.0, (1.0,) * 6, (2.0,) * 6).pack()


def datagram(acquired: float) -> Parts:
    times = acquired + np.arange(-2, 1) / 650
    values = np.ones((3, 1026), "f4")
    return [SensorDatagram(times, times + 0.01, values[:, 0], values[:, 1:]).pack()]


@contextmanager
def camera_stream(clock: str = "trust") -> Iterator[tuple[NodeProcess, Stream]]:
    port = free_port(socket.SOCK_STREAM)
    view = "/camera/view1/image_raw"
    topics = {f"{view}/compressed": CompressedImage, view: Image, "/camera/frame_info": FrameInfo}
    with (
        running("camera_bridge", clock_modes=[clock], port=port, publish_raw=True) as node,
        zmq.Context() as context,
        context.socket(zmq.PUSH) as push,
    ):
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://127.0.0.1:{port}")
        odd = [[header(camera=f"left_41182735{text}"), PICTURE] for text in ODD]
        yield node, Stream("camera_bridge", "View1", topics, push.send_multipart, frame, odd)


@contextmanager
def robot_stream(clock: str = "trust") -> Iterator[tuple[NodeProcess, Stream]]:
    port = free_port(socket.SOCK_STREAM)
    topics = {"/robot/state": RobotState, "/joint_states": JointState, "/robot/pose": PoseStamped}
    with zmq.Context() as context, context.socket(zmq.PUB) as publisher:
        publisher.set(zmq.LINGER, 0)
        publisher.set(zmq.SNDHWM, 0)
        publisher.bind(f"tcp://127.0.0.1:{port}")
        with running("robot_bridge", clock_mode=clock, host="127.0.0.1", port=port) as node:
            yield node, Stream("robot_bridge", "robot", topics, publisher.send_multipart, packet)


@contextmanager
def sensor_stream(clock: str = "trust") -> Iterator[tuple[NodeProcess, Stream]]:
    port = free_port(socket.SOCK_DGRAM)
    with (
        running("sensor_bridge", clock_mode=clock, port=port) as node,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):

        def send(parts: Parts) -> None:
            sender.sendto(b"".join(parts)[:65_000], ("127.0.0.1", port))

        topics: dict[str, type] = {"/sensor/samples": SensorBatch}
        yield node, Stream("sensor_bridge", "sensor", topics, send, datagram)

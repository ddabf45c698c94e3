"""What bridges and the action expert would publish to a recorder, each thing with its number."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from harness import Listener, NodeProcess

from vla_inference_ros import convert
from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.msg import ActionChunk, StreamReport

START = 1_700_000_000.25  # when the first thing was acquired, by its sender's clock [Unix s]
STEP = 0.0625  # between two things of a kind; sums of it are exact [s]
OFFSET = 0.5  # what is added to the senders' times
SAMPLES = 3  # in a batch
CAMERA = "zed_41182735_left"
TOPIC = "/camera/view1/image_raw/compressed"
JPEG = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


def frame(number: int) -> CameraFrame:
    t = START + number * STEP
    return CameraFrame(CAMERA, t, JPEG + number.to_bytes(4, "big"), 8, 8, t + 0.125)


def packet(number: int) -> RobotPacket:
    t = START + number * STEP
    joints, pose = (float(number),) * 6, (float(-number),) * 6
    return RobotPacket(t, t + 0.125, 0.5, joints, pose)


def datagram(number: int) -> SensorDatagram:
    times = START + number * STEP + np.arange(SAMPLES) / 64
    force = np.full(SAMPLES, number, np.float32)
    ascan = np.full((SAMPLES, ASCAN_LENGTH), number, np.float32)
    return SensorDatagram(times, times + 0.125, force, ascan)


def chunk(number: int) -> ActionChunk:
    message = ActionChunk(
        header=convert.header(START + number * STEP),
        chunk_id=number + 1,
        horizon=8,
        action_dim=7,
        robot_state=convert.robot_state(packet(number), OFFSET, "base_link"),
        vl_update_id=number // 4 + 1,
        inference_time=0.024,
    )
    values = np.arange(56, dtype=np.float32) + number
    message.actions.frombytes(values.tobytes())
    message.delta.frombytes((values / 2).tobytes())
    return message


def published(number: int) -> list[tuple[str, Any]]:
    """The messages that tell of one of each, with their topics."""
    image = convert.compressed_image(frame(number), OFFSET, "view1")
    return [
        ("/camera/frame_info", convert.frame_info(frame(number), OFFSET, image.header)),
        (TOPIC, image),
        ("/robot/state", convert.robot_state(packet(number), OFFSET, "base_link")),
        ("/sensor/samples", convert.sensor_batch(datagram(number), OFFSET, "sensor")),
        ("/vla/actions", chunk(number)),
    ]


KINDS = ("frames", "robot", "sensor", "results")


@dataclass
class Traffic:
    """Publishes one of each at a call; ``count`` is how many of each there have been."""

    listener: Listener
    count: int = field(default=0)

    def __call__(self) -> None:
        number, self.count = self.count, self.count + 1
        for topic, message in published(number):
            self.listener.deliver(message, topic)


def kill_recorder(
    listener: Listener, name: str, folder: Path, moments: random.Random
) -> tuple[int, int]:
    """Starts a recorder and kills it at some moment while it records. Of each kind: how many it
    must have kept, as it had reported them a second before, and how many were published.
    """
    node = NodeProcess(name, {"output_dir": str(folder)})
    traffic = Traffic(listener)
    reports = listener.listen(StreamReport, "/vla/reports")

    def taken(until: float) -> int:
        """Of each kind, by the reports that were made until an instant [Unix s]."""
        newest = {
            each.stream: each.accepted
            for each in reports
            if each.node == name and convert.seconds(each.header.stamp) <= until
        }
        return min((newest.get(kind, 0) for kind in KINDS), default=0)

    node.wait_until_said("saving to")
    listener.spin_until(lambda: taken(time.time()), repeat=traffic)
    end = time.monotonic() + moments.uniform(0.0, 2.5)
    while time.monotonic() < end:
        traffic()
        listener.spin_for(0.02)
    listener.spin_for(1.0 - moments.uniform(0.0, 0.02))  # what came before this is not lost
    traffic()
    safe = taken(time.time() - 1.0)
    node.process.kill()
    node.wait()
    assert safe > 0
    return safe, traffic.count

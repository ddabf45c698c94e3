"""What the nodes of a run were fed with, as messages on their topics, from a bag or a run folder.

What was inferred from it then is left out. A run folder's packets become the messages that the
bridges would make of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vla_inference_ros.convert import (
    compressed_image,
    frame_info,
    joint_state,
    pose,
    robot_state,
    sensor_batch,
)
from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.playable import check_playable
from vla_inference_ros.recording.recording import Recording, traffic
from vla_inference_ros.recording.topics import (
    FRAME_INFO,
    IMAGES,
    INPUTS,
    ROBOT_STATE,
    SAMPLES,
)
from vla_inference_ros.recording.traffic import Received

JOINT_NAMES = [f"joint_{index}" for index in range(1, 7)]  # as by default in the robot bridge,
BASE_FRAME, SENSOR_FRAME = "base_link", "sensor"  # and in the sensor bridge


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A message, or the bytes of one (CDR), that was published on ``topic`` at ``stamp`` [ns since
    1970].
    """

    topic: str
    stamp: int
    message: Any


def inputs(recording: Recording) -> Iterator[Input]:
    """The inputs in a recording, from the oldest to the newest, one at a time. What makes no sense
    is left out, and told of by ``recording.odd``. RecordingError if it cannot be read.
    """
    if isinstance(recording, Bag):
        yield from _of_bag(recording)
        return
    leaving = recording.odd.reading("played packets")
    for received in traffic(recording):
        where = f"{recording.path}: what was received at {received.received:.6f}"
        made = leaving.made(where, lambda received=received: list(_messages(received)))
        for topic, message in made or ():
            yield Input(topic, round(received.received * 1e9), message)


def _of_bag(bag: Bag) -> Iterator[Input]:
    for raw in bag.current(INPUTS, check_playable):
        yield Input(raw.topic, raw.stamp_ns, raw.data)


def _messages(received: Received[Any]) -> Iterator[tuple[str, Any]]:
    """What a bridge publishes when it receives a packet."""
    packet, offset = received.packet, received.clock_offset
    if isinstance(packet, CameraFrame):
        image = compressed_image(packet, offset, received.view.lower())
        yield FRAME_INFO, frame_info(packet, offset, image.header)
        yield IMAGES[received.view], image
    elif isinstance(packet, RobotPacket):
        state = robot_state(packet, offset, BASE_FRAME)
        yield ROBOT_STATE, state
        yield "/joint_states", joint_state(state, JOINT_NAMES)
        yield "/robot/pose", pose(state)
    elif isinstance(packet, SensorDatagram):
        yield SAMPLES, sensor_batch(packet, offset, SENSOR_FRAME)

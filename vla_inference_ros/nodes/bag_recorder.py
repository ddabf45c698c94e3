"""Bag recorder node: all topics of a run, into a bag, while it runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node

from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.numbered_inbox import Heard, HeardTwice, NumberedInbox
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.run_state import INSTRUCTION
from vla_inference_ros.nodes.saving import (
    DATA,
    PICTURES,
    RESULTS,
    Item,
    SavingConfig,
    SavingNode,
    most_bytes,
)
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode, run
from vla_inference_ros.recording.appending import MOST_BYTES
from vla_inference_ros.recording.bag_writer import BagWriter, bag_name
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.topics import (
    ACTIONS,
    FEATURES,
    FRAME_INFO,
    IMAGES,
    SAMPLES,
    SIGNALS,
    TOPICS,
)

_RANKS = {"frames": PICTURES, "robot": DATA, "sensor": DATA, "results": RESULTS, "status": DATA}
# A bag counts messages: two for a picture, three for a robot state, one for some samples.
_UNITS = {
    "frames": "messages of pictures (image, frame_info)",
    "robot": "messages of the robot (joint_states, pose, state)",
    "sensor": "messages of sensor samples",
    "results": "messages of results (actions, features, instruction)",
    "status": "messages of status",
}
_KINDS = {
    **dict.fromkeys((*IMAGES.values(), FRAME_INFO), "frames"),
    **dict.fromkeys(("/joint_states", "/robot/pose", "/robot/state"), "robot"),
    SAMPLES: "sensor",
    **dict.fromkeys(("/vla/instruction", FEATURES, ACTIONS), "results"),
    # The signals are all in the chunks as well: they need not outlive a full disk.
    **dict.fromkeys((SIGNALS, "/vla/status", "/vla/reports", "/diagnostics"), "status"),
}
_SHARED = ("/vla/instruction", "/vla/reports", "/diagnostics")  # that several nodes publish


@dataclass(frozen=True, slots=True)
class BagRecorderConfig(SavingConfig):
    """Parameters of the bag recorder; the last two are called as ``ros2 bag record`` has them."""

    max_bag_size: int = parameter(
        MOST_BYTES,
        "size of a bag's file over which what comes next goes into another [bytes]; 0 for any size",
        minimum=0,
        maximum=10**12,
    )
    max_bag_duration: int = parameter(
        0,
        "time after which a bag goes on in another file [s]; 0 for never",
        minimum=0,
        maximum=10**9,
    )


class BagRecorder(SavingNode[BagRecorderConfig]):
    """Writes ``bag_<start>/`` in ``output_dir``."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("bag_recorder", BagRecorderConfig, _RANKS, _UNITS, **node_arguments)
        most = most_bytes("max_bag_size", self.config.max_bag_size)
        seconds = self.config.max_bag_duration or math.inf
        self.begin(
            "bag",
            partial(_BagFolder, most, seconds),
            lambda: _SerializedTopics(self, self.kinds),
        )


@dataclass(frozen=True, slots=True)
class _Serialized:
    """A message as it was sent, and when that was [Unix ns]."""

    topic: str
    stamp: int
    data: bytes


class _BagFolder:
    """The bag as a sink."""

    def __init__(self, most_bytes: float, seconds: float, output_dir: Path, start: float) -> None:
        self._bag = BagWriter(output_dir / bag_name(start), most_bytes, seconds)
        self.folder = self._bag.folder

    @property
    def pending(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for topic, count in self._bag.pending.items():
            counts[_KINDS[topic]] += count
        return counts

    def save(self, item: Item) -> None:
        message: _Serialized = item.content
        self._bag.write(message.topic, TOPICS[message.topic], message.stamp, message.data)

    def flush(self) -> None:
        self._bag.flush()

    def is_there(self) -> bool:
        return self._bag.is_there()

    def close(self, lost: Mapping[str, str]) -> None:
        self._bag.close(lost)


class _SerializedTopics:
    """All topics, read when it asks, as the bytes that were sent. For one thread."""

    def __init__(self, node: VlaNode[Any], streams: Mapping[str, Stream]) -> None:
        self._inboxes = {
            topic: NumberedInbox(node, _heard(node, topic), streams[kind], shared=topic in _SHARED)
            for topic, kind in _KINDS.items()
        }

    def take(self, all_of_it: bool = False) -> Iterator[Item]:
        """What has come since the last call, by its time: nearly in order is well to read."""
        found = [
            _Serialized(topic, stamp, data)
            for topic, inbox in self._inboxes.items()
            for data, stamp in inbox.take()
        ]
        for message in sorted(found, key=lambda message: message.stamp):
            kind = _KINDS[message.topic]
            yield Item(kind, message, len(message.data), message.stamp / 1e9)


def _heard(node: Node, topic: str) -> Heard:
    inbox = partial(Inbox[Any], node, message_class(TOPICS[topic]), topic, raw=True)
    if topic == INSTRUCTION:  # anybody may publish it, and keep it for those who start later or not
        return HeardTwice(inbox(qos.recorded(topic)), inbox(qos.recorded_live(topic)))
    return inbox(qos.recorded(topic))


def main() -> int:
    """Run the node."""
    return run(BagRecorder)

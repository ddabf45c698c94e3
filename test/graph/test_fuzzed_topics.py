"""Whatever is published on a topic: who listens lives on, and has thought of it.

Each node gets messages whose fields are anything that their types can hold: NaN, huge and negative
numbers, arrays of lengths that do not belong together, texts that act on a terminal.
"""

from __future__ import annotations

import math
import random
import re
import socket
import time
from array import array
from typing import Any

import pytest
from harness import LATCHED, Listener, ending_with, free_port
from rclpy.qos import QoSProfile

from vla_inference_ros.convert import header
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.topics import LATCHED as KEPT
from vla_inference_ros.recording.topics import TOPICS

SEED = 23
SHORT, FULL = 10, 1_000  # messages of each topic
NUMBERS = [0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf]
TEXTS = ["", "View1", "\x1b[2J\n[INFO] OK", "\u202e", "x" * 5000, "=1+1", "robot", "vlm"]
LENGTHS = [0, 1, 6, 7, 56, 57]
NODES: dict[str, dict[str, Any]] = {
    "monitor": {},
    "chunk_viewer": {"action_space": "pose"},
    "recorder": {},
    "bag_recorder": {},
    "web_view": {},
    "vlm": {"model": "stub"},
    "action_expert": {"model": "stub", "verbosity": "debug"},
}
_INTEGER = re.compile(r"(u?)int(\d+)")


def anything(kind: str, source: random.Random) -> Any:
    """A value of a field's type."""
    if match := re.fullmatch(r"(.+)\[(\d+)\]", kind):
        return [anything(match[1], source) for _ in range(int(match[2]))]
    if match := re.fullmatch(r"sequence<(.+?)(, \d+)?>", kind):
        return [anything(match[1], source) for _ in range(source.choice(LENGTHS))]
    if match := _INTEGER.fullmatch(kind):
        bits = int(match[2]) - (0 if match[1] else 1)
        low = 0 if match[1] else -(2**bits)
        return source.choice([low, 0, 1, 7, 8, 2**bits - 1])
    if kind == "boolean":
        return source.random() < 0.5
    if kind == "octet":
        return bytes([source.randrange(256)])
    if kind == "float":  # in the range of float32
        return source.choice([each for each in NUMBERS if not 1e38 < abs(each) < math.inf])
    if kind == "double":
        return source.choice(NUMBERS)
    if kind == "string":
        return source.choice(TEXTS)
    return message(kind, source)


def message(kind: str, source: random.Random) -> Any:
    package, name = kind.split("/")
    made = message_class(f"{package}/msg/{name}")()
    for field, field_type in made.get_fields_and_field_types().items():
        if source.random() < 0.3:  # most of a message is as nobody filled it in
            continue
        value = anything(field_type, source)
        held = getattr(made, field)
        setattr(made, field, array(held.typecode, value) if isinstance(held, array) else value)
    return made


def published(topic: str, source: random.Random) -> Any:
    package, _, name = TOPICS[topic].split("/")
    made = message(f"{package}/{name}", source)
    if hasattr(made, "header") and source.random() < 0.7:
        made.header = header(time.time(), made.header.frame_id)
    return made


def is_heard(publisher: Any) -> bool:
    return bool(publisher.get_subscription_count())


@pytest.mark.long
@pytest.mark.parametrize("name", NODES)
def test_no_message_is_one_that_nobody_thought_of(
    name: str, listener: Listener, tmp_path: Any, full: bool
) -> None:
    parameters = dict(NODES[name])
    if "recorder" in name:
        parameters["output_dir"] = str(tmp_path)
    if name == "web_view":
        parameters["web_port"] = free_port(socket.SOCK_STREAM)
    source = random.Random(SEED)
    refuses = name == "recorder"  # what does not fit into its files; a bag takes any message
    with ending_with(1 if refuses else 0, name, **parameters) as node:
        publishers = {
            topic: listener.publisher(
                message_class(kind), topic, LATCHED if topic in KEPT else QoSProfile(depth=100)
            )
            for topic, kind in TOPICS.items()
        }
        listener.spin_until(lambda: any(map(is_heard, publishers.values())))
        for _ in range(FULL if full else SHORT):
            for topic, publisher in publishers.items():
                if is_heard(publisher):
                    publisher.publish(published(topic, source))
            listener.spin_for(0.02)
        listener.spin_for(0.5)
        assert node.process.poll() is None
        assert not node.said("unexpected"), node.said("unexpected")
        assert not node.said("out of memory")
        assert not node.said("RuntimeWarning")

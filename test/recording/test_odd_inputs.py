"""What is odd among a bag's inputs is not played: each message on its topics, and told of."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from bags import bag, raw, run_messages
from rclpy.serialization import deserialize_message
from recorded import JPEG, OFFSET, TOPIC, packet
from std_msgs.msg import String

from vla_inference_ros import convert
from vla_inference_ros.recording.bag import Bag, RawMessage
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.inputs import JOINT_NAMES, Input, inputs
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.topics import INPUTS, TOPICS

COUNT = 4
PNG = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


@cache  # serialized once, as those of a run
def all_inputs() -> tuple[RawMessage, ...]:
    """Of each topic that is played, at least one message."""
    messages = list(run_messages(COUNT))
    state = convert.robot_state(packet(1), OFFSET, "base_link")
    others: dict[str, Any] = {
        "/joint_states": convert.joint_state(state, JOINT_NAMES),
        "/robot/pose": convert.pose(state),
        "/vla/instruction": String(data="prompt"),
    }
    begin = messages[0].stamp_ns
    found = [raw(topic, message, begin + 1) for topic, message in others.items()]
    for view in range(2, 6):  # as View1's
        image = next(each for each in messages if each.topic == TOPIC)
        found.append(replace(image, topic=TOPIC.replace("view1", f"view{view}")))
    return tuple(sorted([*messages, *found], key=lambda each: each.stamp_ns))


def with_one_changed(
    folder: Path, topic: str, change: Callable[[RawMessage], bytes]
) -> tuple[Path, int]:
    """A bag, and how many messages it has that are played."""
    messages = list(all_inputs())
    place = next(number for number, each in enumerate(messages) if each.topic == topic)
    messages[place] = replace(messages[place], data=change(messages[place]))
    return bag(folder, messages), sum(each.topic in INPUTS for each in messages)


def assert_one_is_left_out(folder: Path, topic: str, count: int, kind: str) -> None:
    found = Bag(folder)
    played: list[Input] = list(inputs(found))
    assert len(played) == count - 1
    for each in played:
        deserialize_message(each.message, message_class(TOPICS[each.topic]))
    (line,) = found.odd.lines()
    assert line.startswith(f"left out, since it is odd: 1 of {topic}, {kind}: {folder}"), line
    with pytest.raises(RecordingError, match=kind if kind.startswith("does not d") else topic):
        list(inputs(Bag(folder, strict=True)))


def test_all_are_played(tmp_path: Path) -> None:
    messages = [each for each in all_inputs() if each.topic in INPUTS]
    assert {each.topic for each in messages} == set(INPUTS)
    found = Bag(bag(tmp_path / "whole", all_inputs()))
    played = [(each.topic, each.stamp, each.message) for each in inputs(found)]
    assert played == [(each.topic, each.stamp_ns, each.data) for each in messages]
    assert found.odd.lines() == []


@pytest.mark.parametrize("topic", INPUTS)
@pytest.mark.parametrize("length", [0, 3, 4, 9])
def test_a_message_that_is_cut_is_not_played(topic: str, length: int, tmp_path: Path) -> None:
    folder, count = with_one_changed(
        tmp_path / "cut", topic, lambda each: bytes(each.data)[:length]
    )
    assert_one_is_left_out(folder, topic, count, "does not deserialize")


def changed(change: Callable[[Any], None]) -> Callable[[RawMessage], bytes]:
    """The bytes of a message once it is changed."""

    def bytes_of(given: RawMessage) -> bytes:
        message = deserialize_message(given.data, message_class(given.type))
        change(message)
        return bytes(raw(given.topic, message, 0).data)

    return bytes_of


def field(name: str, value: object) -> Callable[[Any], None]:
    """Sets a field of a message."""
    return lambda message: setattr(message, name, value)


def nan_position(message: Any) -> None:
    message.pose.position.x = math.nan


def nan_joint(message: Any) -> None:
    message.joint_position[0] = math.nan


ODD: list[tuple[str, Callable[[Any], None], str]] = [
    (TOPIC, field("data", array("B")), "bad JPEG"),
    (TOPIC, field("data", array("B", b"\xff\xd8\xff\xe0")), "bad JPEG"),
    (TOPIC, field("data", array("B", PNG[:20])), "does not fit"),
    ("/joint_states", field("name", ["one"]), "does not fit"),
    ("/joint_states", field("position", [1.0, 2.0]), "does not fit"),
    ("/joint_states", field("velocity", [math.inf] * 6), "not finite"),
    ("/robot/pose", nan_position, "not finite"),
    ("/robot/state", nan_joint, "not finite"),
    ("/robot/state", field("force", math.inf), "not finite"),
    ("/sensor/samples", field("stamps", []), "does not fit"),
    ("/sensor/samples", field("send_delays", [0.0]), "does not fit"),
    ("/camera/frame_info", field("clock_offset", math.nan), "not finite"),
]


@pytest.mark.parametrize(
    ("topic", "change", "kind"), ODD, ids=[f"{n}{each[0]}" for n, each in enumerate(ODD)]
)
def test_a_message_that_makes_no_sense_is_not_played(
    topic: str, change: Callable[[Any], None], kind: str, tmp_path: Path
) -> None:
    folder, count = with_one_changed(tmp_path / "odd", topic, changed(change))
    assert_one_is_left_out(folder, topic, count, kind)


@pytest.mark.parametrize("data", [PNG, JPEG + bytes(5000)], ids=["PNG", "padded"])
def test_what_the_vlm_takes_is_played(data: bytes, tmp_path: Path) -> None:
    folder, count = with_one_changed(
        tmp_path / "other", TOPIC, changed(field("data", array("B", data)))
    )
    assert len(list(inputs(Bag(folder, strict=True)))) == count

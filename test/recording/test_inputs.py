"""What is played, from a run folder and from a bag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from recorded import OFFSET, chunk, datagram, frame, packet
from std_msgs.msg import String

from vla_inference_ros import convert
from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.nodes.robot_bridge import RobotBridgeConfig
from vla_inference_ros.nodes.sensor_bridge import SensorBridgeConfig
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.inputs import (
    BASE_FRAME,
    JOINT_NAMES,
    SENSOR_FRAME,
    Input,
    inputs,
)
from vla_inference_ros.recording.messages import result_of
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.topics import INPUTS, OUTPUTS, TOPICS
from vla_inference_ros.recording.traffic import Received

COUNT = 5
DELAY = 0.25  # from acquisition to receipt [s]
IMAGE = "/camera/view1/image_raw/compressed"


def received(packet: Any, time: float) -> Received[Any]:
    view = "View1" if isinstance(packet, CameraFrame) else ""
    return Received(packet, OFFSET, time + OFFSET + DELAY, view)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    writer = RunWriter(tmp_path, 1_700_000_000.0)
    for number in range(COUNT):
        writer.add_state(received(packet(number), packet(number).origin_time))
        writer.add_frame(received(frame(number), frame(number).timestamp))
        writer.add_samples(received(datagram(number), float(datagram(number).times[-1])))
        writer.add_result(result_of(chunk(number)))
    writer.close()
    return writer.folder


def of(found: list[Input], topic: str) -> list[Any]:
    return [item.message for item in found if item.topic == topic]


def test_what_is_inferred_from_is_told_from_what_is_inferred() -> None:
    assert set(INPUTS) | OUTPUTS == set(TOPICS)
    assert not set(INPUTS) & OUTPUTS
    assert {"/vla/features", "/vla/actions", "/vla/status", "/vla/reports"} <= OUTPUTS


def test_names_and_frames_are_the_bridges() -> None:
    robot = RobotBridgeConfig()
    assert (robot.joint_names, robot.base_frame) == (JOINT_NAMES, BASE_FRAME)
    assert SensorBridgeConfig().frame_id == SENSOR_FRAME


def test_a_run_folder_gives_what_the_bridges_published(run_folder: Path) -> None:
    found = list(inputs(open_recording(run_folder)))
    assert [item.stamp for item in found] == sorted(item.stamp for item in found)
    topics = ("/camera/frame_info", IMAGE, "/robot/state", "/joint_states", "/robot/pose")
    assert {item.topic for item in found} == {*topics, "/sensor/samples"}
    images = [convert.compressed_image(frame(n), OFFSET, "view1") for n in range(COUNT)]
    assert of(found, IMAGE) == images
    assert of(found, "/camera/frame_info") == [
        convert.frame_info(frame(n), OFFSET, images[n].header) for n in range(COUNT)
    ]
    states = [convert.robot_state(packet(n), OFFSET, "base_link") for n in range(COUNT)]
    assert of(found, "/robot/state") == states
    assert of(found, "/joint_states") == [convert.joint_state(s, JOINT_NAMES) for s in states]
    assert of(found, "/robot/pose") == [convert.pose(state) for state in states]
    batches = [convert.sensor_batch(datagram(n), OFFSET, "sensor") for n in range(COUNT)]
    for batch, sent in zip(of(found, "/sensor/samples"), batches, strict=True):
        for field in ("header", "force", "ascan_length", "ascan", "clock_offset"):
            assert getattr(batch, field) == getattr(sent, field), field
        # A file has microseconds.
        times = [[convert.seconds(s) for s in b.stamps] for b in (batch, sent)]
        assert times[0] == pytest.approx(times[1], abs=1e-6)


def test_a_run_folder_is_played_as_it_was_received(run_folder: Path) -> None:
    number = 3
    sent = [frame(number).timestamp, packet(number).origin_time]
    due = {round((time + OFFSET + DELAY) * 1e9) for time in sent}
    found = list(inputs(open_recording(run_folder)))
    stamps = {item.topic: item.stamp for item in found if item.stamp in due}
    assert {IMAGE, "/camera/frame_info", "/robot/state", "/joint_states"} <= set(stamps)


def test_a_bag_gives_the_bytes_of_its_inputs_at_their_times(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    sent = [
        ("/vla/instruction", 5, String(data="Hold still")),
        (IMAGE, 10, convert.compressed_image(frame(0), OFFSET, "view1")),
        ("/vla/actions", 12, chunk(0)),
        ("/robot/state", 12, convert.robot_state(packet(0), OFFSET, "base_link")),
        ("/sensor/samples", 20, convert.sensor_batch(datagram(0), OFFSET, "sensor")),
        ("/vla/actions", 30, chunk(1)),
    ]
    for topic, stamp, message in sent:
        writer.write(topic, TOPICS[topic], stamp, serialize_message(message))
    writer.close()
    found = list(inputs(open_recording(tmp_path / "bag")))
    kept = [each for each in sent if each[0] != "/vla/actions"]
    assert [(item.topic, item.stamp) for item in found] == [each[:2] for each in kept]
    for item, (_, _, message) in zip(found, kept, strict=True):
        assert deserialize_message(item.message, type(message)) == message


def test_a_topic_of_another_type_is_named(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    writer.write("/robot/state", "std_msgs/msg/String", 1, serialize_message(String(data="x")))
    writer.write("/vla/actions", TOPICS["/vla/actions"], 1, serialize_message(chunk(0)))
    writer.close()
    with pytest.raises(RecordingError, match=r"/robot/state is of type std_msgs/msg/String, not"):
        list(inputs(open_recording(tmp_path / "bag")))


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(RecordingError, match=str(path)):
            list(inputs(open_recording(path)))

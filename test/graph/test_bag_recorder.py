"""The bag recorder, on topics that the test publishes, and killed in the middle of it."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from harness import (
    LATCHED,
    TIMEOUT,
    Listener,
    SimulatedTime,
    ending_with,
    failed_start,
    problems,
    running,
)
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from recorded import OFFSET, TOPIC, Traffic, chunk, datagram, frame, kill_recorder, packet
from rosbags.rosbag2 import Reader
from std_msgs.msg import String

from vla_inference_ros.msg import StreamReport
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.topics import LATCHED as KEPT
from vla_inference_ros.recording.topics import TOPICS

ROUNDS, SHORT_ROUNDS = 20, 1  # of killing; before another, the dead must be forgotten: 20 s
SEED = 62
PROFILES = dict.fromkeys(KEPT, (LATCHED,))


def made_in(folder: Path) -> Path:
    (made,) = folder.glob("bag_*")
    return made


def saved(listener: Listener, kind: str, count: int) -> None:
    """Wait until so many messages of a kind are written."""
    listener.report("bag_recorder", kind, lambda report: report.accepted >= count)


def counts(bag: Bag) -> tuple[int, ...]:
    """How many of each there are of what ``Traffic`` publishes."""
    kinds: tuple[Any, ...] = (bag.frames(), bag.states(), bag.samples(), bag.results())
    return tuple(sum(1 for _ in kind) for kind in kinds)


def assert_holds(bag: Bag, kept: tuple[int, ...]) -> None:
    """The first so many of each, as they were sent."""
    assert counts(bag) == kept
    frames, states, samples, results = bag.frames(), bag.states(), bag.samples(), bag.results()
    now = time.time()
    for number, got in enumerate(frames):
        assert (got.packet, got.clock_offset, got.view) == (frame(number), OFFSET, "View1")
        assert now - 120 < got.received < now
    for number, state in enumerate(states):
        assert state.packet == packet(number)
    for number, batch in enumerate(samples):
        np.testing.assert_array_equal(batch.packet.ascan, datagram(number).ascan)
    for number, result in enumerate(results):
        assert np.ravel(result["actions"]).tolist() == list(chunk(number).actions)


def test_what_is_published_is_recorded(listener: Listener, tmp_path: Path) -> None:
    traffic = Traffic(listener)
    with running("bag_recorder", output_dir=str(tmp_path)) as node:
        node.wait_until_said("saving to ")
        for _ in range(40):
            traffic()
            listener.spin_for(0.005)
        for kind, each in (("frames", 2), ("robot", 1), ("sensor", 1), ("results", 1)):
            saved(listener, kind, 40 * each)
    bag = Bag(made_in(tmp_path))
    assert bag.complete
    assert_holds(bag, (40,) * 4)
    assert node.said("saved ")
    for line in (
        "80 messages of pictures (image, frame_info)",
        "40 messages of the robot (joint_states, pose, state)",
        "40 messages of sensor samples",
        "40 messages of results (actions, features, instruction)",
    ):
        assert [said for said in node.lines if said.strip() == line], node.lines


def test_all_topics_of_a_run_are_recorded(listener: Listener, tmp_path: Path) -> None:
    with running("bag_recorder", output_dir=str(tmp_path)):
        for topic, name in TOPICS.items():
            if topic != "/vla/reports":  # of which the recorder makes some
                listener.deliver(message_class(name)(), topic, *PROFILES.get(topic, ()))
        listener.wait_until_delivered()
        listener.report("bag_recorder", "status")
    folder = made_in(tmp_path)
    assert Bag(folder).topics() == TOPICS
    found = Counter(each.topic for each in Bag(folder).raw())
    reports = found.pop("/vla/reports")
    assert reports > 0
    assert set(found.values()) == {1}
    with Reader(folder) as reader:
        assert reader.message_count == len(TOPICS) - 1 + reports


def test_reports_of_several_nodes_are_not_taken_for_lost_ones(
    listener: Listener, tmp_path: Path
) -> None:
    with running("bag_recorder", output_dir=str(tmp_path)) as node:
        for _ in range(7):
            listener.deliver(StreamReport(node="another"), "/vla/reports")
            listener.report("bag_recorder", "status")
    found = [
        deserialize_message(each.data, StreamReport).node
        for each in Bag(made_in(tmp_path)).raw(["/vla/reports"])
    ]
    assert Counter(found)["another"] == 7
    assert Counter(found)["bag_recorder"] > 10
    assert not node.said("lost on the way")


def test_an_instruction_that_was_given_before_is_recorded(
    listener: Listener, tmp_path: Path
) -> None:
    before = time.time_ns()
    publisher = listener.publisher(String, "/vla/instruction", LATCHED)
    publisher.publish(String(data="push"))
    started = time.time_ns()
    with running("bag_recorder", output_dir=str(tmp_path)):
        saved(listener, "results", 1)
    found = list(Bag(made_in(tmp_path)).raw(["/vla/instruction"]))
    newest = found[-1]  # of others before, tests before this one have told
    assert deserialize_message(newest.data, String).data == "push"
    assert before <= newest.stamp_ns < started


@pytest.mark.parametrize("profile", [QoSProfile(depth=10), LATCHED], ids=["volatile", "kept"])
def test_an_instruction_is_recorded_once_however_it_is_published(
    profile: QoSProfile, listener: Listener, tmp_path: Path
) -> None:
    """As ``ros2 topic pub`` does it, whose publishers do not keep their last message."""
    texts = [f"prompt {number}, of {profile.durability}" for number in range(3)]
    node = rclpy.create_node("somebody")
    publisher = node.create_publisher(String, "/vla/instruction", profile)
    try:
        with running("bag_recorder", output_dir=str(tmp_path)):
            listener.spin_until(lambda: publisher.get_subscription_count() > 0)
            for text in texts:
                publisher.publish(String(data=text))
            assert publisher.wait_for_all_acked(Duration(seconds=TIMEOUT))
            saved(listener, "results", len(texts))
    finally:
        node.destroy_node()
    found = [
        deserialize_message(each.data, String).data
        for each in Bag(made_in(tmp_path)).raw(["/vla/instruction"])
    ]
    assert [text for text in found if text in texts] == texts


def test_what_comes_right_before_the_end_is_recorded(listener: Listener, tmp_path: Path) -> None:
    traffic = Traffic(listener)
    with running("bag_recorder", output_dir=str(tmp_path)):
        for _ in range(90):  # as fast as it goes: nearly what the recorder's queues hold
            traffic()
        listener.wait_until_delivered()
    assert_holds(Bag(made_in(tmp_path)), (90,) * 4)


def test_by_simulated_time_messages_have_that(listener: Listener, tmp_path: Path) -> None:
    clock = SimulatedTime(listener)
    with running("bag_recorder", output_dir=str(tmp_path), use_sim_time=True) as node:
        node.wait_until_said("saving to ")
        traffic = Traffic(listener)

        def once() -> None:
            clock.say(clock.now + 0.1)
            traffic()

        listener.report("bag_recorder", "results", lambda report: report.accepted > 20, once)
    times = [each.stamp_ns / 1e9 for each in Bag(made_in(tmp_path)).raw(["/vla/actions"])]
    assert clock.now - 10.0 < times[-1] <= clock.now + 1.0


def test_on_a_full_disk_results_are_recorded_and_the_rest_is_counted(
    listener: Listener, tmp_path: Path
) -> None:
    traffic = Traffic(listener)
    with ending_with(1, "bag_recorder", output_dir=str(tmp_path), reserve_mb=1e9) as node:
        for _ in range(10):
            traffic()
        saved(listener, "results", 10)
        for kind, count in (("frames", 20), ("robot", 10), ("sensor", 10)):
            expected = {"dropped, full disk": count}
            listener.report("bag_recorder", kind, lambda report: problems(report) == expected)  # noqa: B023
            assert len(node.said(f"{kind}: only ")) == 1
    bag = Bag(made_in(tmp_path))
    assert counts(bag) == (0, 0, 0, 10)
    assert set(bag.topics()) <= {"/vla/actions", "/vla/instruction"}
    assert node.said("0 messages of pictures (image, frame_info), 20 dropped, full disk")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = failed_start("bag_recorder", output_dir=str(tmp_path / "file"))
    assert "parameter 'output_dir': cannot make a bag in" in line


@pytest.mark.long
def test_a_kill_loses_at_most_a_second(listener: Listener, tmp_path: Path, full: bool) -> None:
    moments = random.Random(SEED)
    for number in range(ROUNDS if full else SHORT_ROUNDS):
        listener.wait_until_alone()  # a recorder of before is no audience of this one's
        folder = tmp_path / str(number)
        safe, sent = kill_recorder(listener, "bag_recorder", folder, moments)
        made = made_in(folder)
        cut_off = Bag(made)
        assert not cut_off.complete
        kept = counts(cut_off)
        assert all(safe <= count <= sent for count in kept), (safe, kept)
        assert main([str(made)]) == 0
        whole = Bag(made)
        assert whole.complete
        assert_holds(whole, kept)
        with Reader(made) as reader:
            read = Counter(connection.topic for connection, _, _ in reader.messages())
        assert read[TOPIC] == kept[0]

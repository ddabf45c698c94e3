"""The player alone, with a small recording; what a whole replay gives is in test_replay.py."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bags import bag, foreign_bag, log_time, raw, run_messages
from harness import LATCHED, Listener, NodeProcess, failed_start, running
from recorded import OFFSET, STEP, TOPIC, datagram, frame, packet
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped]
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from vla_inference_ros.msg import RobotState
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.traffic import Received

COUNT = 64
LENGTH = (COUNT - 1) * STEP  # [s]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    writer = RunWriter(tmp_path, 1_700_000_000.0)
    for number in range(COUNT):
        received = frame(number).timestamp + OFFSET
        writer.add_frame(Received(frame(number), OFFSET, received, "View1"))
        writer.add_state(Received(packet(number), OFFSET, received))
        writer.add_samples(Received(datagram(number), OFFSET, received))
    writer.close()
    return writer.folder


@pytest.fixture
def audience(listener: Listener) -> Iterator[None]:
    arguments: dict[str, Any] = {"model": "stub", "use_sim_time": True}
    with running("vlm", **arguments), running("action_expert", **arguments):
        yield


def test_it_says_whom_it_waits_for_in_vain(recording: Path) -> None:
    player = NodeProcess("bag_player", {"bag": str(recording), "wait_limit": 1.0})
    assert player.wait() == 1
    (line,) = player.said("stopped: ")
    assert "vlm and action_expert not active within 1 s" in line
    assert player.said("nothing")
    assert not player.said("Traceback")


def test_a_signal_ends_it_well(recording: Path, audience: None) -> None:
    with running("bag_player", bag=str(recording)) as player:
        player.wait_until_said("playing ")
        player.process.send_signal(signal.SIGINT)
        assert player.wait() == 0


def test_it_can_wait_for_another_player_to_begin(listener: Listener, audience: None) -> None:
    player = NodeProcess("bag_player", {"plays": False})
    try:
        listener.publisher(Clock, "/clock")
        assert player.wait() == 0
    finally:
        player.process.kill()
    assert not player.said("played")


def test_it_plays_as_fast_as_it_is_told(recording: Path, audience: None) -> None:
    with running("bag_player", bag=str(recording), rate=8.0) as player:
        assert player.wait() == 0
    begun, ended = (moment(player, text) for text in ("playing", "played"))
    assert LENGTH / 8 < ended - begun < LENGTH  # which leaves a busy machine some seconds


def moment(node: NodeProcess, text: str) -> float:
    """When a node said something [Unix s]."""
    match = re.search(r"\[(\d+\.\d+)\]", node.said(text)[0])
    assert match is not None
    return float(match[1])


def test_damage_in_the_middle_is_left_out_and_told_in_one_line(
    recording: Path, audience: None
) -> None:
    lost = sorted((recording / "View1").iterdir())[COUNT // 2]
    lost.unlink()
    player = NodeProcess("bag_player", {"bag": str(recording)})
    assert player.wait() == 0
    (line,) = player.said("left out, since it is odd: 1 of pictures")
    assert str(lost) in line
    assert player.said(f"{COUNT - 1} messages on /camera/view1/image_raw/compressed")
    assert not player.said("Traceback")


@pytest.fixture
def odd_bag(tmp_path: Path) -> Path:
    """A bag with an empty picture, and a robot state that is cut."""
    messages = list(run_messages(COUNT))
    for topic, length in ((TOPIC, None), ("/robot/state", 30)):
        place = [number for number, each in enumerate(messages) if each.topic == topic][2]
        empty = raw(topic, CompressedImage(format="jpeg"), 0).data
        data = empty if length is None else messages[place].data[:length]
        messages[place] = replace(messages[place], data=bytes(data))
    return bag(tmp_path / "odd", messages)


def test_odd_messages_are_left_out_and_told_by_topic_and_kind(
    odd_bag: Path, audience: None
) -> None:
    player = NodeProcess("bag_player", {"bag": str(odd_bag), "rate": 4.0})
    assert player.wait() == 0
    for topic, kind in ((TOPIC, "bad JPEG"), ("/robot/state", "does not deserialize")):
        assert player.said(f"left out, since it is odd: 1 of {topic}, {kind}: {odd_bag}")
        assert player.said(f"{COUNT - 1} messages on {topic}")
    assert not player.said("Traceback")


def test_small_bags_of_what_cameras_send_are_played(audience: None, full: bool) -> None:
    """As test_bag_cases.py has them."""
    bags = {"one_empty_picture": 12, "view5_gray": 13}
    for name, pictures in (bags | ({"good": 13, "one_padded_picture": 13} if full else {})).items():
        path = Path(__file__).parents[1] / "data" / "bag" / f"{name}.mcap"
        player = NodeProcess("bag_player", {"bag": str(path), "rate": 4.0})
        assert player.wait() == 0
        assert player.said(f"{pictures} messages on {TOPIC}")
        assert len(player.said("since it is odd")) == (name == "one_empty_picture")


def test_strict_ends_it_at_what_is_odd(odd_bag: Path, audience: None) -> None:
    player = NodeProcess("bag_player", {"bag": str(odd_bag), "strict": True})
    assert player.wait() == 1
    (line,) = player.said("stopped: ")
    assert f"the message on {TOPIC}" in line
    assert "the JPEG is empty" in line


@pytest.mark.parametrize(
    ("name", "content"), [("none", None), ("damaged.mcap", b"MCAP0" + bytes(100))]
)
def test_what_cannot_be_read_is_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    line = failed_start("bag_player", bag=str(path))
    assert "parameter 'bag': " in line
    assert str(path) in line


def test_a_rate_that_is_none_is_named(tmp_path: Path) -> None:
    assert "'rate'" in failed_start("bag_player", bag=str(tmp_path), rate=-1.0)


def test_a_recording_must_be_given() -> None:
    assert "parameter 'bag' is empty: name a bag or a run folder" in failed_start("bag_player")


def test_a_prompt_is_played_as_the_run_had_it_whatever_the_bag_says(
    tmp_path: Path, audience: None, listener: Listener
) -> None:
    """``ros2 bag record`` leaves the QoS empty of a topic that it subscribed to before anybody
    published it; played so, who asks for the last message hears nothing.
    """
    prompt = raw("/vla/instruction", String(data="push"), log_time(1))
    messages = sorted([*run_messages(), prompt], key=lambda each: each.stamp_ns)
    bag = foreign_bag(tmp_path / "bag", messages)
    assert "offered_qos_profiles: []" in (bag / "metadata.yaml").read_text(encoding="utf-8")
    heard = listener.listen(String, "/vla/instruction", LATCHED)
    with running("bag_player", bag=str(bag)) as player:
        listener.spin_until(lambda: [each.data for each in heard] == ["push"])
        assert player.wait() == 0
        assert not player.said("[ERROR]")
        assert all(" late: " in line for line in player.said("[WARN]"))  # on a busy machine


def test_who_does_not_answer_is_named_and_not_waited_for_for_ever(
    recording: Path, audience: None, listener: Listener
) -> None:
    listener.listen(RobotState, "/robot/state")
    with running("bag_player", bag=str(recording)) as player:  # while nobody spins the listener
        player.wait_until_said("beginning all the same, but /listener does not answer")
        player.wait_until_said("playing ")

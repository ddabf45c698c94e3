"""A short run is recorded as a bag and as a run folder, and both are played to the nodes again."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from harness import LATCHED, Listener, free_port
from launching import Launch
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped]
from std_msgs.msg import String

from vla_inference_ros.convert import seconds
from vla_inference_ros.msg import ActionChunk, VLFeatures
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.inputs import inputs
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.topics import IMAGES, INPUTS, TOPICS

COMMAND = str(Path(sys.executable).with_name("vla-launch"))
DURATION = 3.0  # of the run, from the first chunk on [s]
PUBLISHERS = {"/vla/actions": "action_expert", "/vla/features": "vlm", "/diagnostics": "monitor"}
PROMPT = "Hold still"
CLOCK = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass
class Replay:
    """What was heard of a replay of ``path``, and what it was recorded in."""

    path: Path
    run: Path = Path()
    bag: Path = Path()
    heard: dict[str, list[Any]] = field(default_factory=dict)
    clock: list[Clock] = field(default_factory=list)
    publishers: dict[str, set[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    status: int | None = None

    @property
    def chunks(self) -> list[ActionChunk]:
        return self.heard["/vla/actions"]


def launch(*arguments: str) -> list[str]:
    return [COMMAND, *arguments, "model:=stub"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> dict[str, Path]:
    """A bag and a run folder of the same run, during which the prompt was changed."""
    folder = tmp_path_factory.mktemp("recordings")
    ports = {"camera": socket.SOCK_STREAM, "robot": socket.SOCK_STREAM, "sensor": socket.SOCK_DGRAM}
    params_file = folder / "test.yaml"
    params_file.write_text(
        "sim_camera: {ros__parameters: {width: 160, height: 90, jpeg_bytes: 0, pool: 50}}\n",
        encoding="utf-8",
    )
    user = rclpy.create_node("user")
    user.create_publisher(String, "/vla/instruction", LATCHED).publish(String(data=PROMPT))
    done = subprocess.run(
        launch(
            "async.launch.py",
            *("sim:=true", "save_data:=true", "record:=true", f"duration:={DURATION}"),
            f"output_dir:={folder}",
            f"params_file:={params_file}",
            *(f"{name}_port:={free_port(kind)}" for name, kind in ports.items()),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    user.destroy_node()
    assert done.returncode == 0, done.stdout
    (bag,), (run,) = folder.glob("bag_*"), folder.glob("async_inference_*")
    return {"bag": bag, "run folder": run}


@pytest.fixture(scope="module", params=["bag", "run folder"])
def replay(
    request: pytest.FixtureRequest,
    recordings: dict[str, Path],
    listener: Listener,
    tmp_path_factory: pytest.TempPathFactory,
) -> Replay:
    replay = Replay(recordings[request.param])
    replay.clock = listener.listen(Clock, "/clock", CLOCK)
    for topic in (*INPUTS, *PUBLISHERS):
        profile = LATCHED if topic == "/vla/instruction" else QoSProfile(depth=1000)
        replay.heard[topic] = listener.listen(message_class(TOPICS[topic]), topic, profile)

    def look() -> None:
        for topic in PUBLISHERS:
            replay.publishers.setdefault(topic, set()).update(listener.publishers_of(topic))

    saved = tmp_path_factory.mktemp("saved")
    arguments = ("save_data:=true", "record:=true", f"output_dir:={saved}")
    launched = Launch(launch("replay.launch.py", f"bag:={replay.path}", *arguments))
    try:
        listener.spin_until(lambda: replay.chunks, repeat=look)
        listener.spin_until(lambda: launched.process.poll() is not None, repeat=look)
        replay.status = launched.end()
        replay.lines = launched.lines
        listener.take_all()
        (replay.run,), (replay.bag,) = saved.glob("async_inference_*"), saved.glob("bag_*")
    finally:
        launched.clean_up()
    return replay


def recorded_times(replay: Replay) -> tuple[float, float]:
    """When the first and the last input was received, but for the prompt."""
    played = inputs(open_recording(replay.path))
    stamps = [each.stamp for each in played if each.topic != "/vla/instruction"]
    return stamps[0] / 1e9, stamps[-1] / 1e9


def test_it_ends_by_itself_and_well(replay: Replay) -> None:
    assert replay.status == 0, replay.lines
    assert "[vla-launch] bag_player-6 has ended: stopping" in replay.lines
    assert "Traceback" not in str(replay.lines)


def test_every_input_is_published_once_and_as_it_was(replay: Replay) -> None:
    expected: dict[str, list[Any]] = {topic: [] for topic in INPUTS}
    for each in inputs(open_recording(replay.path)):
        message = each.message
        if isinstance(message, bytes):
            message = deserialize_message(message, message_class(TOPICS[each.topic]))
        expected[each.topic].append(message)
    assert all(expected[topic] for topic in (*IMAGES.values(), "/robot/state", "/joint_states"))
    for topic in INPUTS:
        assert len(replay.heard[topic]) == len(expected[topic]), topic
        assert replay.heard[topic] == expected[topic], topic


def test_nothing_is_published_that_was_inferred_then(replay: Replay) -> None:
    assert replay.publishers == {topic: {name} for topic, name in PUBLISHERS.items()}
    ids = [chunk.chunk_id for chunk in replay.chunks]
    assert ids == list(range(1, len(ids) + 1))
    then = {result["timestamp"] for result in open_recording(replay.path).results()}
    assert then
    assert not then & {seconds(chunk.header.stamp) for chunk in replay.chunks}


def test_time_is_the_recorded_one_and_never_goes_back(replay: Replay) -> None:
    first, last = recorded_times(replay)
    times = [seconds(clock.clock) for clock in replay.clock]
    assert times == sorted(times)
    assert len(set(times)) > 100 * (last - first) / 2
    assert first - 0.51 < times[0] < first
    assert times[-1] == pytest.approx(last, abs=1e-6)


def test_chunks_come_for_the_recorded_time_and_are_good(replay: Replay) -> None:
    first, last = recorded_times(replay)
    stamps = [seconds(chunk.header.stamp) for chunk in replay.chunks]
    assert first < stamps[0]
    assert stamps[-1] <= last
    assert len(stamps) > 10 * DURATION / 2
    good = [chunk for chunk in replay.chunks if chunk.validity == ActionChunk.OK]
    assert len(good) > len(stamps) / 2, [chunk.reasons for chunk in replay.chunks]


def test_chunks_name_what_was_recorded(replay: Replay) -> None:
    recording = open_recording(replay.path)
    views: dict[str, list[float]] = {view: [] for view in IMAGES}
    for frame in recording.frames():
        views[frame.view].append(frame.packet.timestamp + frame.clock_offset)
    states = [s.packet.origin_time + s.clock_offset for s in recording.states()]
    sent = np.concatenate([s.packet.times for s in recording.samples()])
    offsets = np.concatenate(
        [np.full(len(s.packet.times), s.clock_offset) for s in recording.samples()]
    )
    for chunk in replay.chunks:
        assert len(chunk.views) == len(IMAGES)
        for view, stamp in zip(chunk.views, chunk.view_stamps, strict=True):
            assert_among(stamp, views[view])
        assert_among(chunk.robot_state.header.stamp, states)
        newest = assert_among(chunk.sensor_last_stamp, sent + offsets)
        # The window has moved all of its samples to the newest one's clock offset.
        assert_among(chunk.sensor_first_stamp, sent + offsets[newest])


def assert_among(stamp: Any, recorded: Sequence[float] | NDArray[np.float64]) -> int:
    """Which it is; a file keeps a time to the microsecond."""
    distances = np.abs(np.subtract(recorded, seconds(stamp)))
    assert distances.min() < 2e-6
    return int(distances.argmin())


def test_what_is_recorded_of_a_replay_is_in_the_recorded_time(replay: Replay) -> None:
    first, last = recorded_times(replay)
    for path in (replay.bag, replay.run):
        again = list(inputs(open_recording(path)))
        assert Counter(i.topic for i in again)["/sensor/samples"] > 10 * DURATION
        for each in again:
            assert first - 0.6 < each.stamp / 1e9 < last + 0.1, each.topic
        results = [result["timestamp"] for result in open_recording(path).results()]
        assert results == [seconds(chunk.header.stamp) for chunk in replay.chunks]
    assert min(raw.stamp_ns for raw in Bag(replay.bag).raw()) / 1e9 > first - 0.6


def test_the_prompt_is_the_recorded_one(replay: Replay) -> None:
    """A run folder does not hold it."""
    features: list[VLFeatures] = replay.heard["/vla/features"]
    expected = PROMPT if replay.path.name.startswith("bag_") else "Perform needle insertion"
    assert features[-1].instruction.startswith(expected)

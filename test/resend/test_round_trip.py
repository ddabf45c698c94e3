"""A bag, exported to a run folder, sent over the wire again, and recorded again: what is the same.

The bridges and the recorder are the real nodes.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from harness import TIMEOUT, free_port, running
from rclpy.serialization import serialize_message

from vla_inference_ros import convert
from vla_inference_ros.core.source import QUIET
from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    SENSOR_RATE,
    CameraFrame,
    RobotPacket,
    SensorDatagram,
)
from vla_inference_ros.export.command import main as export
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.recording import Recording, traffic
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.run_reader import RunFolder
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.resend.command import main as resend

START = 1_700_000_000.123  # when the first thing was acquired, by the receiver's clock [Unix s]
OFFSETS = {"camera": 0.25, "robot": -3.5, "sensor": 1234.567}  # that the first run had learnt [s]
EARLIER = START - 10_000.0  # what is sent to see whether all are there
CAMERAS = {"View1": "zed_41182735_left", "View5": "oak_CAM_A"}
DATAGRAMS, SIZE = 40, 15
FRAMES, STATES = 20, 90  # of each camera; all about a second
EXACT = 2e-6  # what times may differ by [s]


def jpeg(seed: int) -> bytes:
    picture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def sent() -> Iterator[Received[Any]]:
    """What the rig's senders had sent: by their clocks, with numbers of full precision."""
    random = np.random.default_rng(7)
    for number in range(FRAMES):
        for seed, (view, camera) in enumerate(CAMERAS.items()):
            t = START - OFFSETS["camera"] + number / 20 + seed * 0.011
            send_time = t + 0.013 if view == "View1" else None
            packet = CameraFrame(camera, t, jpeg(2 * number + seed), 64, 48, send_time)
            yield Received(packet, OFFSETS["camera"], t + OFFSETS["camera"] + 0.03, view)
    for number in range(STATES):
        t = START - OFFSETS["robot"] + number / 90
        values = random.uniform(-60.0, 60.0, size=13).astype(np.float32).tolist()
        state = RobotPacket(t, t + 0.0007, values[0], tuple(values[1:7]), tuple(values[7:]))
        yield Received(state, OFFSETS["robot"], t + OFFSETS["robot"] + 0.002)
    for number in range(DATAGRAMS):
        times = START - OFFSETS["sensor"] + (number * SIZE + np.arange(SIZE)) / SENSOR_RATE
        ascan = random.normal(size=(SIZE, ASCAN_LENGTH)).astype(np.float32)
        samples = SensorDatagram(times, np.full(SIZE, times[-1] + 0.001), ascan[:, 3], ascan)
        yield Received(samples, OFFSETS["sensor"], times[-1] + OFFSETS["sensor"] + 0.004)


def published(received: Received[Any]) -> Iterator[tuple[str, Any]]:
    """The topics and messages that the bridges make of a packet."""
    packet, offset = received.packet, received.clock_offset
    if isinstance(packet, CameraFrame):
        image = convert.compressed_image(packet, offset, received.view.lower())
        yield "/camera/frame_info", convert.frame_info(packet, offset, image.header)
        yield f"/camera/{received.view.lower()}/image_raw/compressed", image
    elif isinstance(packet, RobotPacket):
        yield "/robot/state", convert.robot_state(packet, offset, "base_link")
    else:
        yield "/sensor/samples", convert.sensor_batch(packet, offset, "sensor")


def bag(folder: Path) -> Path:
    writer = BagWriter(folder)
    for received in sorted(sent(), key=lambda each: each.received):
        for topic, message in published(received):
            package, _, name = type(message).__module__.partition(".msg")
            kind = f"{package}/msg/{type(message).__name__}"
            assert name
            data = serialize_message(message)
            writer.write(topic, kind, round(received.received * 1e9), data)
    writer.close()
    return folder


@dataclass(frozen=True, slots=True)
class Saved:
    """How much of each kind a recorder has saved, while it runs."""

    pictures: tuple[int, ...]
    states: int
    samples: int

    @classmethod
    def of(cls, output_dir: Path) -> Saved:
        folders = list(output_dir.glob("async_inference_*"))
        if not folders:
            return cls((0, 0), 0, 0)
        (folder,) = folders
        lines = [line for path in folder.glob("robot_*.csv") for line in path.open("rb")]
        sizes = [path.stat().st_size for path in folder.glob("sensor_data_*.npz.part")]
        return cls(
            tuple(len(list(folder.glob(f"{view}/*.jpg"))) for view in CAMERAS),
            len(lines) - 1,
            sum(sizes) // (4 * ASCAN_LENGTH),  # its headers are less than a sample
        )

    def plus(self, frames: int, states: int, samples: int) -> Saved:
        pictures = tuple(count + frames for count in self.pictures)
        return Saved(pictures, self.states + states, self.samples + samples)


def await_saved(output_dir: Path, expected: Saved, limit: float = TIMEOUT) -> bool:
    deadline = time.monotonic() + limit
    while Saved.of(output_dir) != expected:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def first_of_each(parent: Path) -> Path:
    """A run of one thing a topic, long before all others."""
    writer = RunWriter(parent, START)
    times = np.array([EARLIER])
    ascan = np.zeros((1, ASCAN_LENGTH), np.float32)
    for view, camera in CAMERAS.items():
        writer.add_frame(Received(CameraFrame(camera, EARLIER, jpeg(0), 64, 48), 0.0, START, view))
    state = RobotPacket(EARLIER, EARLIER, 0.0, (1.0,) * 6, (1.0,) * 6)
    writer.add_state(Received(state, 0.0, START))
    writer.add_samples(Received(SensorDatagram(times, times, ascan[:, 0], ascan), 0.0, START))
    writer.close()
    return writer.folder


@dataclass(frozen=True, slots=True)
class Graph:
    """The three bridges and a recorder, and where ``vla-resend`` finds them."""

    output_dir: Path
    arguments: tuple[str, ...]

    def await_ready(self, first: Path) -> Saved:
        """Send again and again until each thing arrives; nothing is under way then."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            before = Saved.of(self.output_dir)
            assert resend([str(first), "--rate", "0", *self.arguments]) == 0
            if await_saved(self.output_dir, before.plus(1, 1, 1), 2.0):
                return before.plus(1, 1, 1)
        raise AssertionError("the recorder does not get what is sent")


@contextmanager
def graph(output_dir: Path, mode: str) -> Iterator[Graph]:
    camera, robot = (free_port(socket.SOCK_STREAM) for _ in range(2))
    sensor = free_port(socket.SOCK_DGRAM)
    with ExitStack() as stack:
        for name, parameters in (
            ("recorder", {"output_dir": str(output_dir)}),
            ("camera_bridge", {"port": camera, "clock_modes": ["trust"]}),
            ("robot_bridge", {"host": "127.0.0.1", "port": robot, "clock_mode": mode}),
            ("sensor_bridge", {"port": sensor, "clock_mode": mode}),
        ):
            stack.enter_context(running(name, **parameters))
        yield Graph(
            output_dir,
            (
                *("--camera", f"tcp://127.0.0.1:{camera}", "--robot", f"tcp://127.0.0.1:{robot}"),
                *("--sensor", f"127.0.0.1:{sensor}"),
                *("--wait", str(TIMEOUT)),
            ),
        )


def record_again(run: Path, tmp_path: Path, mode: str, *arguments: str) -> RunFolder:
    """What the nodes record of a run that is sent to them."""
    output_dir = tmp_path / "again"
    first = first_of_each(tmp_path / "first")
    with graph(output_dir, mode) as nodes:
        ready = nodes.await_ready(first)
        time.sleep(1.1 * QUIET)  # what was sent for it came from other connections
        assert resend([str(run), *arguments, *nodes.arguments]) == 0
        assert await_saved(output_dir, ready.plus(FRAMES, STATES, DATAGRAMS * SIZE))
    (folder,) = output_dir.glob("async_inference_*")
    return RunFolder(folder)


def received(recording: Recording, since: float = 0.0) -> dict[str, list[Received[Any]]]:
    """All packets that were acquired ``since`` then, by their camera or kind, in their order."""
    streams: dict[str, list[Received[Any]]] = {}
    for each in traffic(recording):
        packet = each.packet
        if isinstance(packet, CameraFrame):
            name, acquired = packet.camera, packet.timestamp
        elif isinstance(packet, RobotPacket):
            name, acquired = "robot", packet.origin_time
        else:
            name, acquired = "sensor", packet.times[0]
        if acquired > since:
            streams.setdefault(name, []).append(each)
    return streams


def times(packet: Any) -> list[float]:
    """All times that a packet says."""
    if isinstance(packet, CameraFrame):
        return [packet.timestamp, *([] if packet.send_time is None else [packet.send_time])]
    if isinstance(packet, RobotPacket):
        return [packet.origin_time, packet.send_time]
    return [*packet.times, *packet.send_times]


def content(packet: Any) -> tuple[Any, ...]:
    """All but the times, to be equal to the last bit."""
    if isinstance(packet, CameraFrame):
        return packet.camera, packet.jpeg, packet.width, packet.height
    if isinstance(packet, RobotPacket):
        return packet.force, packet.joints, packet.pose
    return packet.force.tobytes(), packet.ascan.tobytes(), packet.ascan.shape


def assert_same(found: Recording, expected: Recording) -> None:
    """Every packet as it was sent; when it came is another matter."""
    found_streams, streams = received(found, EARLIER + 1.0), received(expected)
    assert {name: len(each) for name, each in found_streams.items()} == {
        name: len(each) for name, each in streams.items()
    }
    for name, packets in streams.items():
        for again, once in zip(found_streams[name], packets, strict=True):
            assert again.view == once.view
            assert content(again.packet) == content(once.packet)
            np.testing.assert_allclose(times(again.packet), times(once.packet), rtol=0, atol=EXACT)


def exported(tmp_path: Path) -> tuple[Bag, Path]:
    recorded = Bag(bag(tmp_path / "bag"))
    assert export([str(recorded.path), "--to", "run", "--output", str(tmp_path / "run")]) == 0
    (folder,) = (tmp_path / "run").iterdir()
    return recorded, folder


def test_a_bag_comes_back_from_the_wire_as_it_was(tmp_path: Path) -> None:
    recorded, run = exported(tmp_path)
    assert len(received(recorded)["sensor"]) == DATAGRAMS
    assert_same(RunFolder(run), recorded)
    assert_same(record_again(run, tmp_path, "calibrate"), recorded)


def test_restamped_it_comes_back_as_old_as_it_was(tmp_path: Path) -> None:
    """To bridges that trust the senders' clocks; each node on the way adds to the age."""
    recorded, run = exported(tmp_path)
    since = time.time() - 1.0
    found = received(record_again(run, tmp_path, "trust", "--restamp"), since)
    for name, packets in received(recorded).items():
        assert len(found[name]) == len(packets)
        for again, once in zip(found[name], packets, strict=True):
            assert content(again.packet) == content(once.packet)
            assert again.clock_offset == 0.0
            age, was = (
                each.received - np.array(times(each.packet)) - each.clock_offset
                for each in (again, once)
            )
            assert (age[0] >= was[0] - 1e-4).all()
            assert np.diff(age) == pytest.approx(np.diff(was), abs=1e-5)

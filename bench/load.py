"""The load of a timing run: full-rate senders, listeners on the topics, a bare loop, a busy core.

Each function is the body of a process of its own. It runs until ``stop`` is set and then puts one
result into ``results``, under its name.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, RobotState, SensorBatch, VLFeatures
from vla_inference_ros.nodes.middleware import set_up_middleware
from vla_inference_ros.sim.senders import (
    CAMERA_NAMES,
    CameraConfig,
    CameraSender,
    RobotConfig,
    RobotSender,
    SensorConfig,
    SensorSender,
)

FPS = 30.0  # of each camera
ACTION_PERIOD = 0.1  # [s]
_PRIORITY = 20  # of what measures: above all nodes'
_SENDERS_PRIORITY = 15  # they stand for other hosts, which nothing here holds up
_VIEW_OF = dict(zip(CAMERA_NAMES, VIEWS, strict=True))
_POOL = 10  # pictures a camera, made beforehand, so that the senders cost little
_BLOCK = 64 << 20  # of memory or disk [bytes]
_DEPTH = QoSProfile(depth=1000)  # reliable: the listeners themselves must lose nothing

Results: TypeAlias = "Queue[tuple[str, Any]]"  # a class without subscript at run time
Item = tuple[str, float]  # stream, and the acquisition time [Unix s]


@dataclass(slots=True)
class Actions:
    """What the listener on the outputs saw; times [s], ``arrivals`` on the monotonic clock.

    A chunk is ``published``, ``received`` by the listener's middleware, and then in its callback.
    """

    arrivals: list[float] = field(default_factory=list)
    published: list[float] = field(default_factory=list)
    received: list[float] = field(default_factory=list)
    chunk_ids: list[int] = field(default_factory=list)
    sensor_ages: list[float] = field(default_factory=list)
    feature_ages: list[float] = field(default_factory=list)
    degraded: list[tuple[float, str]] = field(default_factory=list)
    updates: list[float] = field(default_factory=list)


def send_cameras(port: int, stop: Event, results: Results) -> None:
    """Five cameras of 1280x720 JPEGs of 150 kB."""
    sent: list[Item] = []
    sender = CameraSender(
        CameraConfig(port=port, fps=FPS, pool=_POOL),
        lambda frame: sent.append((_VIEW_OF[frame.camera], frame.timestamp)),
    )
    _send(sender, stop)
    results.put(("cameras sent", sent))


def send_robot(port: int, stop: Event, results: Results) -> None:
    """The robot at 100 Hz."""
    sent: list[Item] = []
    sender = RobotSender(
        RobotConfig("127.0.0.1", port),
        lambda packet: sent.append(("robot", packet.origin_time)),
    )
    _send(sender, stop)
    results.put(("robot sent", sent))


def send_sensor(port: int, stop: Event, results: Results) -> None:
    """The sensor at 650 samples/s."""
    sent: list[Item] = []
    sender = SensorSender(
        SensorConfig(port=port),
        lambda datagram: sent.extend(("sensor", t) for t in datagram.times.tolist()),
    )
    _send(sender, stop)
    results.put(("sensor sent", sent))


def _send(sender: Any, stop: Event) -> None:
    _go_first(_SENDERS_PRIORITY)
    stopping = threading.Event()
    thread = threading.Thread(target=sender.run, args=(stopping,))
    thread.start()
    stop.wait()
    stopping.set()
    thread.join()
    sender.close()


def listen_to_streams(stop: Event, results: Results) -> None:
    """Every item on the bridges' topics, by its stamp; a sensor's sample by its sender's time."""
    received: list[Item] = []

    def take_batch(batch: SensorBatch) -> None:
        received.extend(("sensor", seconds(stamp) - batch.clock_offset) for stamp in batch.stamps)

    def subscribe(node: Node) -> None:
        for view in VIEWS:
            topic = f"/camera/{view.lower()}/image_raw/compressed"
            node.create_subscription(
                CompressedImage, topic, _take_raw(view, received), _DEPTH, raw=True
            )
        node.create_subscription(
            RobotState, "/robot/state", _take_raw("robot", received), _DEPTH, raw=True
        )
        node.create_subscription(SensorBatch, "/sensor/samples", take_batch, _DEPTH)

    _listen("bench_streams", subscribe, stop)
    results.put(("streams received", received))


def _take_raw(stream: str, received: list[Item]) -> Callable[[bytes], None]:
    """Reads the stamp, the first two words behind CDR's header of 4 bytes, and nothing else."""

    def take(data: bytes) -> None:
        second, nanosecond = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
        received.append((stream, second + nanosecond / 1e9))

    return take


def listen_to_actions(stop: Event, results: Results) -> None:
    """The outputs, in a process of its own that goes first where the system allows it: so it adds
    little to the arrival times.
    """
    _go_first(_PRIORITY)
    seen = Actions()

    def take_chunk(chunk: ActionChunk, info: dict[str, Any]) -> None:
        seen.arrivals.append(time.monotonic())
        seen.published.append(info["source_timestamp"] / 1e9)
        seen.received.append(info["received_timestamp"] / 1e9)
        seen.chunk_ids.append(chunk.chunk_id)
        stamp = seconds(chunk.header.stamp)
        seen.sensor_ages.append(stamp - seconds(chunk.sensor_last_stamp))
        seen.feature_ages.append(stamp - seconds(chunk.features_stamp))
        if chunk.validity != ActionChunk.OK:
            seen.degraded.append((seen.arrivals[-1], "; ".join(chunk.reasons)))

    def subscribe(node: Node) -> None:
        node.create_subscription(ActionChunk, "/vla/actions", take_chunk, _DEPTH)
        node.create_subscription(
            VLFeatures, "/vla/features", lambda _: seen.updates.append(time.monotonic()), _DEPTH
        )

    _listen("bench_actions", subscribe, stop)
    results.put(("actions", seen))


def _listen(name: str, subscribe: Callable[[Node], None], stop: Event) -> None:
    set_up_middleware()
    rclpy.init()
    node = rclpy.create_node(name)
    subscribe(node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.2)
    node.destroy_node()
    rclpy.shutdown()


def ordinary_loop(stop: Event, results: Results) -> None:
    """The best that an ordinary thread gets here: sleep until the next tick, note when it came."""
    results.put(("ordinary loop", _tick(stop)))


def realtime_loop(stop: Event, results: Results) -> None:
    """The same with real-time priority, or nothing where the system refuses it."""
    results.put(("realtime loop", _tick(stop) if _go_first(_PRIORITY) else []))


def _go_first(priority: int) -> bool:
    """Real-time priority for this thread and those that it starts from now on; whether the system
    allows it. The threads of a ZMQ socket that it has already stay as they are.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        return False
    return True


def _tick(stop: Event) -> list[float]:
    ticks: list[float] = []
    index = int(time.monotonic() / ACTION_PERIOD) + 1
    while not stop.is_set():
        time.sleep(max(0.0, index * ACTION_PERIOD - time.monotonic()))
        ticks.append(time.monotonic())
        index += 1
    return ticks


def busy_core(stop: Event, results: Results) -> None:
    """Keeps one core busy."""
    while not stop.is_set():
        for _ in range(100_000):
            pass
    results.put(("busy core", None))


def short_processes(stop: Event, results: Results) -> None:
    """Processes that live for a moment, one after the other, as a compiler or an installer has."""
    while not stop.is_set():
        subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    results.put(("short processes", None))


def memory_traffic(stop: Event, results: Results) -> None:
    """Copies more than any cache holds, to and fro."""
    here, there = (np.ones(_BLOCK, np.uint8) for _ in range(2))
    while not stop.is_set():
        np.copyto(here, there)
        np.copyto(there, here)
    results.put(("memory traffic", None))


def disk_writes(folder: Path, stop: Event, results: Results) -> None:
    """Files that are written, put on the disk and removed, as fast as it takes them."""
    block = os.urandom(_BLOCK)
    path = folder / f"written_{os.getpid()}"
    while not stop.is_set():
        with path.open("wb") as file:
            file.write(block)
            os.fsync(file.fileno())
        path.unlink()
    results.put(("disk writes", None))

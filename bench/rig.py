"""The whole running inference with the fault injector's proxies in front, and an ear on it.

Owns starting and stopping the launched nodes, the senders, the proxies and the listener.
"""

from __future__ import annotations

import gc
import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import load
import numpy as np
import rclpy
from launched import Launch, Processes, free_ports
from marks import MarkedCameras, MarkedRobot, MarkedSensor, frame_number, sample_numbers
from rclpy.node import Node
from rclpy.qos import QoSProfile
from second_publishers import SOURCE_ID as STRANGER
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String
from threads import in_thread
from truth import UNREADABLE, Truth

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, SensorBatch, VLFeatures
from vla_inference_ros.nodes.middleware import settings_for_this_process
from vla_inference_ros.sim.proxy import Proxy, Route

_ACTIONS = "/vla/actions"
_LISTEN_PERIOD = 0.02  # [s]
_DEPTH = QoSProfile(depth=1000)


@dataclass(frozen=True, slots=True)
class Heard:
    """A chunk and when it was published [Unix s]."""

    chunk: ActionChunk
    published: float

    @property
    def stamp(self) -> float:
        """The instant that it is for [Unix s]."""
        return seconds(self.chunk.header.stamp)

    @property
    def ok(self) -> bool:
        """Whether it says that it is."""
        return bool(self.chunk.validity == ActionChunk.OK)


class Listener:
    """Hears the outputs, and what the bridges publish for the truth; a thread of its own.

    It asks each topic for what has come: an executor would take a third of a core for that, and
    keep the proxies waiting.
    """

    def __init__(self, truth: Truth) -> None:
        self.chunks: list[Heard] = []
        self._features: defaultdict[int, list[tuple[float, VLFeatures]]] = defaultdict(list)
        self.statuses: list[tuple[float, InferenceStatus]] = []
        self._truth = truth
        self._topics: list[tuple[Any, Callable[[Any, float], None]]] = []
        with settings_for_this_process():
            rclpy.init()
            self.node: Node = rclpy.create_node("bench_faults")
        for view in VIEWS:
            topic = f"/camera/{view.lower()}/image_raw/compressed"
            self._listen_to(CompressedImage, topic, partial(self._take_image, view), raw=True)
        self._listen_to(SensorBatch, "/sensor/samples", self._take_batch)
        self._listen_to(VLFeatures, "/vla/features", self._take_features)
        self._listen_to(ActionChunk, _ACTIONS, self._take_chunk)
        self._listen_to(InferenceStatus, "/vla/status", self._take_status)
        self._listen_to(String, "/vla/instruction", self._take_instruction)

    def run(self, stop: threading.Event) -> None:
        """Listen until ``stop`` is set."""
        while not stop.wait(_LISTEN_PERIOD):
            for topic, take in self._topics:
                with topic.handle:  # keeps it alive meanwhile
                    take_next = topic.handle.take_message
                    while (taken := take_next(topic.msg_type, topic.raw)) is not None:
                        message, info = taken
                        take(message, info["source_timestamp"] / 1e9)

    def features_of(self, heard: Heard) -> VLFeatures | None:
        """Those that a chunk is from: the last ones of their number, for a VLM that was started
        again counts anew.
        """
        found = self._features.get(heard.chunk.vl_update_id, [])
        before = [each for published, each in found if published <= heard.published]
        return before[-1] if before else None

    def check_alone(self) -> None:
        """SystemExit if another inference publishes here, whose chunks would be taken for ours."""
        publishers = self.node.get_publishers_info_by_topic(_ACTIONS)
        experts = sum(each.node_name != self.node.get_name() for each in publishers)
        if experts > 1:
            raise SystemExit(
                f"{experts} nodes publish {_ACTIONS}: set ROS_DOMAIN_ID to a domain of its own"
            )

    def close(self) -> None:
        """Leave the graph."""
        self.node.destroy_node()
        rclpy.shutdown()

    def _listen_to(
        self, kind: Any, topic: str, take: Callable[[Any, float], None], *, raw: bool = False
    ) -> None:
        """``take`` gets the message, or its bytes, and when it was published [Unix s]."""
        made = self.node.create_subscription(kind, topic, _never_called, _DEPTH, raw=raw)
        self._topics.append((made, take))

    def _take_image(self, view: str, data: bytes, published: float) -> None:
        # The stamp is the first two words behind CDR's header of 4 bytes.
        second, nanosecond = (int.from_bytes(data[at : at + 4], "little") for at in (4, 8))
        number = frame_number(data)
        if number is None:
            number = UNREADABLE
        self._truth[view].note_published(second + nanosecond / 1e9, number, published)

    def _take_batch(self, batch: SensorBatch, published: float) -> None:
        numbers = sample_numbers(np.frombuffer(batch.force, np.float32))
        for stamp, number in zip(batch.stamps, numbers, strict=True):
            self._truth["sensor"].note_published(seconds(stamp), number, published)

    def _take_features(self, features: VLFeatures, published: float) -> None:
        self._features[features.update_id].append((published, features))
        self._truth.note_features(features)

    def _take_instruction(self, said: String, published: float) -> None:
        self._truth.note_instruction(said.data, published)

    def _take_chunk(self, chunk: ActionChunk, published: float) -> None:
        if chunk.source_id != STRANGER:
            self.chunks.append(Heard(chunk, published))

    def _take_status(self, status: InferenceStatus, published: float) -> None:
        self.statuses.append((published, status))


def _never_called(_: Any) -> None:
    raise AssertionError("nothing spins this node")


@dataclass(frozen=True, slots=True)
class Rig:
    """What runs: the proxies by stream, what they and the listener know, the listener, and the
    launched nodes, which listen on ``ports``.
    """

    truth: Truth
    proxies: dict[str, Proxy]
    listener: Listener
    launch: Launch
    ports: dict[str, int]


@contextmanager
def started(log: Path) -> Iterator[Rig]:
    """Start all; the nodes' output goes to ``log``."""
    with ExitStack() as stack:
        # A collection of all that the truth remembers holds the proxies' packets up for 0.1-0.3 s.
        gc.disable()
        stack.callback(gc.enable)
        truth, ports = Truth(), free_ports()
        proxies = {
            "camera": MarkedCameras(_route(ports["camera_port"]), truth),
            "robot": MarkedRobot(_route(ports["robot_port"]), truth),
            "sensor": MarkedSensor(_route(ports["sensor_port"]), truth),
        }
        listener = Listener(truth)
        stack.callback(listener.close)
        stack.enter_context(in_thread(listener.run))
        for proxy in proxies.values():
            stack.callback(proxy.close)
            stack.enter_context(in_thread(proxy.run))
        senders = stack.enter_context(Processes())
        senders.start(load.send_cameras, proxies["camera"].port)
        senders.start(load.send_robot, ports["robot_port"])
        senders.start(load.send_sensor, proxies["sensor"].port)
        arguments = {
            "camera_port": ports["camera_port"],
            "robot_port": proxies["robot"].port,
            "sensor_port": ports["sensor_port"],
            "respawn": "true",
            "params_file": _unlimited_force(log.with_suffix(".yaml")),
        }
        launch = Launch(arguments, stack.enter_context(log.open("wb")))
        stack.callback(launch.stop)
        launch.wait_for_action()
        yield Rig(truth, proxies, listener, launch, ports)


def _unlimited_force(file: Path) -> Path:
    """Parameters with which the bridges believe forces that are numbers of packets and samples."""
    limit = {"ros__parameters": {"force_limit": 1e9}}
    file.write_text(json.dumps({"robot_bridge": limit, "sensor_bridge": limit}), encoding="utf-8")
    return file


def _route(port: int) -> Route:
    return Route("127.0.0.1", 0, "127.0.0.1", port)

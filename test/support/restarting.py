"""The whole graph as real processes, any of which can be killed and started again."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Collection, Iterable
from typing import Any

from harness import Listener, NodeProcess, Parameter
from ports import free_port
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.msg import (
    ActionChunk,
    InferenceStatus,
    RobotState,
    SensorBatch,
    StreamReport,
    VLFeatures,
)

_WITH_PORTS = ("camera_bridge", "robot_bridge", "sensor_bridge")


class Graph:
    """All senders and nodes but those of ``without``, by name. ``ended`` are the processes that
    were killed, ``ports`` those that the bridges listen on and the robot sends on. ``vlm`` are
    more parameters of it.
    """

    def __init__(self, without: Collection[str] = (), **vlm: Parameter) -> None:
        every = _parameters()
        every["vlm"] |= vlm
        self.ports = {name: int(str(every[name]["port"])) for name in _WITH_PORTS}
        self.parameters = {name: of for name, of in every.items() if name not in without}
        self.running: dict[str, NodeProcess] = {}
        self.ended: list[NodeProcess] = []
        self.start(self.parameters)

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *_: object) -> None:
        self.clean_up()
        for node in self.running.values():
            print(f"--- {node.name}", *node.lines[-40:], sep="\n")  # shown when a test fails

    def start(self, names: Iterable[str]) -> None:
        """Start processes, as they were started before."""
        for name in names:
            self.running[name] = NodeProcess(name, self.parameters[name])

    def kill(self, names: Iterable[str]) -> float:
        """Kill processes at once; when none of them was left [Unix s]."""
        victims = [self.running.pop(name) for name in names]
        for victim in victims:
            victim.process.kill()
        self.ended += victims
        statuses = [victim.wait() for victim in victims]
        dead = time.time()
        assert statuses == [-signal.SIGKILL] * len(victims), "a victim had ended by itself"
        return dead

    def check_alive(self) -> None:
        """AssertionError if a process has ended by itself; it says what the process said."""
        for node in self.running.values():
            status = node.process.poll()
            assert status is None, f"{node.name} ended with {status}: {node.lines[-30:]}"

    def stop(self) -> dict[str, int]:
        """End all as Ctrl+C does; the exit statuses. Afterwards none is left."""
        return {name: node.stop() for name, node in self.running.items()}

    def clean_up(self) -> None:
        """Leave no process behind, whatever has happened."""
        for node in self.running.values():
            node.process.kill()
            node.wait()

    def said(self, text: str) -> list[str]:
        """The lines of all processes, killed ones too, that contain a text."""
        every = (*self.ended, *self.running.values())
        return [f"{node.name}: {line}" for node in every for line in node.said(text)]


class Heard:
    """What the graph puts on its topics. All times are stamps, so it does not matter how late the
    test takes the messages.
    """

    def __init__(self, listener: Listener) -> None:
        self.chunks: list[ActionChunk] = listener.listen(ActionChunk, "/vla/actions")
        self.statuses: list[InferenceStatus] = listener.listen(InferenceStatus, "/vla/status")
        self._features = listener.listen(VLFeatures, "/vla/features")
        self._reports = listener.listen(StreamReport, "/vla/reports")
        # The last view that the cameras send, for all of them.
        images = listener.listen(CompressedImage, "/camera/view5/image_raw/compressed")
        robot = listener.listen(RobotState, "/robot/state")
        samples = listener.listen(SensorBatch, "/sensor/samples")
        self._inputs: dict[str, list[Any]] = {
            "sim_camera": images,
            "camera_bridge": images,
            "sim_robot": robot,
            "robot_bridge": robot,
            "sim_sensor": samples,
            "sensor_bridge": samples,
        }

    def outputs(self, name: str) -> list[float]:
        """When a process has shown signs of life [Unix s].

        A sender or bridge: acquisitions on the bridge's topic. The VLM: its features, finished. The
        action expert: its reports of itself, the first of which it makes at its first tick, as
        chunks come only when all inputs do. The monitor: its statuses.
        """
        if name == "vlm":
            return [seconds(features.finished) for features in self._features]
        if name == "action_expert":
            return [seconds(r.header.stamp) for r in self._reports if r.node == name]
        messages = self.statuses if name == "monitor" else self._inputs[name]
        return [seconds(message.header.stamp) for message in messages]

    def forget_outputs(self) -> None:
        """Drop all but chunks and statuses."""
        for messages in (*self._inputs.values(), self._features, self._reports):
            messages.clear()


def _parameters() -> dict[str, dict[str, Parameter]]:
    """Of each process; the models and the pictures are cheap, so that all nine fit two cores."""
    camera, robot, sensor = free_port(), free_port(), free_port(socket.SOCK_DGRAM)
    return {
        "vlm": {"model": "stub", "stub_vl_ms": 200.0},
        "action_expert": {"model": "stub", "stub_expert_ms": 5.0},
        "camera_bridge": {"port": camera},
        "robot_bridge": {"port": robot},
        "sensor_bridge": {"port": sensor},
        "monitor": {},
        "sim_camera": {
            "port": camera,
            "fps": 15.0,
            "width": 320,
            "height": 180,
            "jpeg_bytes": 20_000,
            "pool": 10,
        },
        "sim_robot": {"port": robot},
        "sim_sensor": {"port": sensor},
    }

"""What changes in a run beside its inputs: what it is told, and a guest that loses its folder."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rclpy.node import Node
from std_msgs.msg import String

from vla_inference_ros.graph import PACKAGE, prefix

_INSTRUCTION = "/vla/instruction"
_HEARERS = 4  # of an instruction: VLM, action expert, monitor, and the bench itself
_PATIENCE = 10.0  # until what should come about at once has failed to [s]
_LOOK_PERIOD = 0.01  # [s]


class SaidOnce:
    """An instruction, said once by somebody who keeps it for nobody."""

    def __init__(self, text: str) -> None:
        self._text = text

    def prepare(self, node: Node) -> None:
        """Wait for those who are to hear it."""
        self._publisher = node.create_publisher(String, _INSTRUCTION, 1)
        _wait(lambda: self._publisher.get_subscription_count() >= _HEARERS, _INSTRUCTION)

    def __call__(self, stop: threading.Event, _: Mapping[str, int], node: Node) -> None:
        """Say it, as ``node``, and stay until ``stop`` is set."""
        self._publisher.publish(String(data=self._text))
        stop.wait()
        node.destroy_publisher(self._publisher)


class FolderGone:
    """A recorder whose disk goes away, and comes back in the end. It stays as long as the node."""

    def prepare(self, node: Node) -> None:
        """Wait until it saves to its folder."""
        self._disk = Path(tempfile.mkdtemp())
        self._away = self._disk.with_suffix(".away")
        output = self._disk / "runs"
        program = prefix() / "lib" / PACKAGE / "recorder"
        self._recorder = subprocess.Popen(
            [program, "--ros-args", "-p", f"output_dir:={output}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        node.context.on_shutdown(self._stop)
        _wait(lambda: any(output.rglob("*.jpg")), f"a picture in {output}")

    def __call__(self, stop: threading.Event, _ports: Mapping[str, int], _: Node) -> None:
        """Take the disk away until ``stop`` is set."""
        self._disk.rename(self._away)
        self._disk.touch(exist_ok=False)  # so that no folder can be made there
        stop.wait()
        self._disk.unlink()

    def _stop(self) -> None:
        self._recorder.terminate()
        self._recorder.wait(timeout=_PATIENCE)
        for folder in (self._disk, self._away):
            shutil.rmtree(folder)


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(_LOOK_PERIOD)

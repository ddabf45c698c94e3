"""Kills and restarts readers of plain topics, and counts those that some writer does not reach.

Four writers stay; one of two readers, or both, are killed with SIGKILL every few seconds and
started again, all with the package's profile: with ports for data as DDS numbers them, where a
restarted reader gets that of the dead one, and with ports taken at random, the default. Exit
status 1 if a reader misses a writer for over 6 s with the latter. To be run in a domain of its own:
in another one's, others take ports between, and fewer readers get those of the dead.

    .venv/bin/python bench/restarted.py [--rounds 40] [--ports dds own]
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from report import Row, show
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.nodes import dds_profile
from vla_inference_ros.nodes.middleware import set_up_middleware

_WRITERS, _READERS = 4, 2
_PERIOD = 0.025  # of each writer's messages [s]
_SIZE = 30_000  # of each [bytes]
_TOLD = 0.2  # between two lines of a reader [s]
_ROUND = (5.0, 8.0)  # so long a reader lives at least [s]
_SILENT = 1.5  # a writer that is not heard for so long [s]
_STANDS = 6.0  # a reader that is silent at the end of a round may take so much longer [s]
_DEPTH = QoSProfile(depth=50)


def write(node: Node, number: int) -> None:
    """Publish on the writer's topic."""
    publisher = node.create_publisher(CompressedImage, f"/written_by_{number}", _DEPTH)
    message = CompressedImage(data=bytes(_SIZE))
    node.create_timer(_PERIOD, lambda: publisher.publish(message))


def read(node: Node, _: int) -> None:
    """Say again and again when each writer was heard last."""
    heard = [0.0] * _WRITERS

    def hear(number: int) -> None:
        heard[number] = time.time()

    for number in range(_WRITERS):
        node.create_subscription(
            CompressedImage,
            f"/written_by_{number}",
            lambda _, number=number: hear(number),
            _DEPTH,
        )
    node.create_timer(_TOLD, lambda: print(*heard, flush=True))


class Reader:
    """A reader's process, which is killed and started again."""

    def __init__(self, number: int, ports: str, folder: Path) -> None:
        self._arguments = ["read", str(number), ports]
        self._said = folder / f"reader_{number}"
        self.start()

    def start(self) -> None:
        """Start it, once more."""
        self._started = time.time()
        with self._said.open("wb") as output:
            self._process = _start(*self._arguments, output=output)

    def kill(self) -> None:
        """Kill it, and wait until it has gone."""
        self._process.kill()
        self._process.wait()

    def silent(self) -> bool:
        """Whether a writer is not heard now."""
        # The last line may not be whole.
        lines = self._said.read_text(encoding="utf-8").splitlines()[-2:-1]
        heard = [float(word) for line in lines for word in line.split()] or [0.0]
        return time.time() - max(min(heard), self._started) > _SILENT


def _start(*arguments: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, __file__, "--as", *arguments], stdout=output)


def measure(ports: str, rounds: int, folder: Path) -> list[Row]:
    """Of so many rounds, in how many a reader did not hear all, and in how many for long."""
    moments = random.Random(1)
    silent = stood = 0
    with (folder / "writers").open("wb") as output:
        writers = [_start("write", str(each), ports, output=output) for each in range(_WRITERS)]
    readers = [Reader(number, ports, folder) for number in range(_READERS)]
    try:
        time.sleep(10.0)  # until all know each other
        for _ in range(rounds):
            victims = moments.choice([readers[:1], readers[1:], readers])
            for victim in victims:
                victim.kill()
            time.sleep(moments.choice([0.0, 1.0]))
            for victim in victims:
                victim.start()
            time.sleep(moments.uniform(*_ROUND))
            if any(reader.silent() for reader in readers):
                silent += 1
                time.sleep(_STANDS)
                stood += any(reader.silent() for reader in readers)
    finally:
        for reader in readers:
            reader.kill()
        for writer in writers:
            writer.kill()
            writer.wait()
    longer = f"  in how many for {_STANDS:g} s more"
    is_ours = ports == "own"
    return [
        Row("rounds in which a reader misses a writer", f"{silent} of {rounds}"),
        Row(longer, str(stood), "0" if is_ours else "", stood == 0 if is_ours else None),
    ]


def run_as(role: str, number: int, ports: str) -> None:
    """Be a writer or a reader until killed."""
    if ports == "dds":
        dds_profile.data_offset = lambda environment: None
    set_up_middleware()
    rclpy.init()
    node = Node(f"{role}_{number}")
    {"write": write, "read": read}[role](node, number)
    rclpy.spin(node)


def main() -> int:
    """Measure with both kinds of ports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40, help="of killing, for each kind of ports")
    parser.add_argument("--ports", nargs="+", choices=("dds", "own"), default=["dds", "own"])
    parser.add_argument("--log", type=Path, default=Path("/tmp"), help="folder for what they say")
    parser.add_argument("--as", nargs=3, dest="role", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "96")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if arguments.role:
        role, number, ports = arguments.role
        run_as(role, int(number), ports)
        return 0
    kept = True
    for ports in arguments.ports:
        title = {"dds": "ports as DDS numbers them", "own": "ports taken at random"}[ports]
        kept = show(title, measure(ports, arguments.rounds, arguments.log)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

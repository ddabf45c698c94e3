"""Makes publishers of many types while others look on, who then subscribe: do they hear of all?

Subscribers' nodes are there first, and know none of the types. Another process makes publishers of
all messages of some packages, one after the other, as the nodes of a launch do. Then all subscribe,
and those topics are counted whose publisher they do not find: with types asked for, as Fast DDS 3
does by default, and with the package's profile. Exit status 1 if a topic is missed with the latter.

    .venv/bin/python bench/found.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import inspect
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import rclpy
from rclpy.node import Node
from report import Row, show

from vla_inference_ros.nodes import dds_profile
from vla_inference_ros.nodes.middleware import set_up_middleware

_PACKAGES = ("diagnostic_msgs", "geometry_msgs", "nav_msgs", "sensor_msgs", "std_msgs")
_TOPICS = 8  # of each type
_SUBSCRIBERS = 3  # processes
_BETWEEN = 0.0005  # at most, between one publisher and the next [s]
_SETTLED = 1.0  # until nothing is on its way any more [s]
_GIVE_UP = 8.0  # [s]


def topics() -> Iterator[tuple[type[Any], str]]:
    """Each with its type, those of a type in a row."""
    for package in _PACKAGES:
        for name, kind in sorted(vars(import_module(f"{package}.msg")).items()):
            if inspect.isclass(kind):
                for number in range(_TOPICS):
                    yield kind, f"/{package}/{name.lower()}_{number}"


def publish(node: Node) -> None:
    """Make all publishers."""
    for kind, topic in topics():
        node.create_publisher(kind, topic, 10)
        time.sleep(random.uniform(0.0, _BETWEEN))
    print("all are made", flush=True)
    sys.stdin.readline()


def subscribe(node: Node) -> None:
    """Subscribe to all topics, and say of how many no publisher was found."""
    made = [node.create_subscription(kind, topic, print, 10) for kind, topic in topics()]
    end = time.monotonic() + _GIVE_UP
    missed = len(made)
    while missed and time.monotonic() < end:
        time.sleep(0.05)
        missed = sum(each.handle.get_publisher_count() != 1 for each in made)
    print(missed, flush=True)


def measure(asking: str, rounds: int) -> list[Row]:
    """How many topics were missed by a subscriber in so many rounds."""
    missed = [sum(_round(asking)) for _ in range(rounds)]
    searched = rounds * _SUBSCRIBERS * sum(1 for _ in topics())
    is_ours = asking == "unasked"
    found = sum(missed)
    return [
        Row("topics whose publisher was never found", f"{found} of {searched}"),
        Row(
            "  rounds with such",
            f"{sum(map(bool, missed))} of {rounds}",
            "0" if is_ours else "",
            found == 0 if is_ours else None,
        ),
    ]


def _round(asking: str) -> list[int]:
    subscribers = [_start("subscribe", asking) for _ in range(_SUBSCRIBERS)]
    publisher = _start("publish", asking)
    everybody = [*subscribers, publisher]
    try:
        for process in everybody:
            _heard(process)
        time.sleep(_SETTLED)  # they know each other
        _go_on(publisher)
        _heard(publisher)
        time.sleep(_SETTLED)
        for process in subscribers:
            _go_on(process)
        return [int(_heard(process)) for process in subscribers]
    finally:
        for process in everybody:
            process.kill()
            process.communicate()


def _start(role: str, asking: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--as", role, asking]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")


def _heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return line
    raise RuntimeError("a process has ended")


def _go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def run_as(role: str, asking: str) -> None:
    """Be the publisher or a subscriber."""
    if asking == "asked":
        ours = dds_profile.changed
        dds_profile.changed = lambda profile, changes: _asking(ours(profile, changes))
    set_up_middleware()
    for kind, _ in topics():
        kind.__import_type_support__()  # takes its time, which is not to be between two publishers
    rclpy.init()
    node = rclpy.create_node(f"{role}_{os.getpid()}")
    print("here", flush=True)
    sys.stdin.readline()
    {"publish": publish, "subscribe": subscribe}[role](node)
    os._exit(0)  # at once: a thousand endpoints take long to be destroyed


def _asking(profile: str) -> str:
    root = ElementTree.fromstring(profile)
    for rtps in root.iterfind(".//{*}rtps"):
        for policy in rtps.findall("{*}propertiesPolicy"):
            rtps.remove(policy)
    return ElementTree.tostring(root, encoding="unicode")


def main() -> int:
    """Print how many were missed, either way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--as", nargs=2, dest="role", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "93")  # not that of the other benches
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    if arguments.role:
        run_as(*arguments.role)
    kept = True
    for asking, title in (("asked", "with types asked for"), ("unasked", "package's profile")):
        kept = show(title, measure(asking, arguments.rounds)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

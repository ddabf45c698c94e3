"""Pictures from one host to another, also over a link that delays packets and loses one in a
hundred.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest
from transport import CLEAN, LOSSY, SLOW, Outcome, run
from two_hosts import NotPossibleError, Reassembly, Wire, environment, two_hosts

from vla_inference_ros import graph
from vla_inference_ros.nodes.dds_profile import LARGEST_MESSAGE

# A tenth of Linux's time for what is incomplete, with nearly a tenth of its room: so what takes a
# minute to fill comes about in seconds.
_SHORT = Reassembly(512 << 10, 3)
_STUB = {"model": "stub"}
# The cameras' host, and the one that infers.
_CAMERAS = {
    "camera_bridge": {},
    "sim_camera": {"fps": 6.0, "width": 640, "height": 360, "jpeg_bytes": 40_000, "pool": 10},
}
_INFERENCE = {
    **{"sim_robot": {}, "sim_sensor": {}, "robot_bridge": {}, "sensor_bridge": {}},
    **{"vlm": _STUB, "action_expert": _STUB, "monitor": {}},
}
# Prints each state of the verdict with its time.
_WATCH = """
import time
import rclpy
from vla_inference_ros.msg import InferenceStatus
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.middleware import set_up_middleware

set_up_middleware()
rclpy.init()
node = rclpy.create_node("watcher")

def show(status):
    print("[%.3f, %d]" % (time.monotonic(), status.state), flush=True)

node.create_subscription(InferenceStatus, "/vla/status", show, qos.STATUS)
rclpy.spin(node)
"""


def run_or_skip(
    seconds: float,
    message_bytes: int,
    reassembly: Reassembly,
    wire: Wire = LOSSY,
    *,
    by_address: bool = False,
) -> Outcome:
    try:
        return run(SLOW, seconds, message_bytes, wire, reassembly, by_address=by_address)
    except NotPossibleError as error:
        pytest.skip(f"this system cannot have two hosts: {error}")


@pytest.mark.long
def test_pictures_come_through_a_link_that_loses_one_packet_in_a_hundred(full: bool) -> None:
    seconds, reassembly = (60.0, Reassembly()) if full else (5.0, _SHORT)
    outcome = run_or_skip(seconds, 0, reassembly)
    assert outcome.arrived >= 0.98
    assert outcome.traffic < 2.0
    if full:  # a machine that is busy with other tests has gaps of its own
        assert outcome.worst_gap < 1.0


def test_large_messages_do_not_so_that_the_link_is_one_that_tells(full: bool) -> None:
    if not full:
        pytest.skip("shows only that the test above can fail: with --full")
    assert run_or_skip(60.0, LARGEST_MESSAGE, Reassembly()).arrived < 0.9


def test_hosts_that_are_told_of_each_other_need_no_multicast() -> None:
    assert run_or_skip(2.0, 0, _SHORT, CLEAN, by_address=True).arrived == 1.0


def test_inference_over_a_lossy_link_is_never_held_for_long(full: bool) -> None:
    if not full:
        pytest.skip("takes a minute: only with --full")
    seconds = 60.0
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_hosts(LOSSY, Reassembly()))
        except NotPossibleError as error:
            pytest.skip(f"this system cannot have two hosts: {error}")

        def start(command: list[str]) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command,
                env=environment({}),
                cwd="/",
                stdout=subprocess.PIPE if command[-1] == _WATCH else subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        for host, nodes in ((hosts.first, _CAMERAS), (hosts.second, _INFERENCE)):
            for name, parameters in nodes.items():
                executable = graph.prefix() / "lib" / graph.PACKAGE / name
                given = [each for k, v in parameters.items() for each in ("-p", f"{k}:={v}")]
                arguments = ("--ros-args", *given) if given else ()
                start(host.command(executable, *arguments))
        watcher = start(hosts.second.command(Path(sys.executable).absolute(), "-c", _WATCH))
        time.sleep(seconds)
        watcher.terminate()
        states = [json.loads(line) for line in watcher.communicate()[0].splitlines()]
    running = [number for number, (_, state) in enumerate(states) if state in (1, 2)]
    assert running, states  # chunks came
    since = states[running[0] :]
    assert since[-1][0] - since[0][0] > seconds / 2
    held = [after[0] - before[0] for before, after in pairwise(since) if before[1] == 3]
    assert max(held, default=0.0) < 1.0, states

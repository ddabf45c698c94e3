"""What the status shows of the stages and of the senders' clocks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from harness import free_port
from rclpy.parameter import Parameter
from status_cases import NOW, report, seen_of, statistics, status_of

from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import StageTiming, StreamReport
from vla_inference_ros.nodes.action_expert import ActionExpert
from vla_inference_ros.nodes.camera_bridge import CameraBridge
from vla_inference_ros.nodes.robot_bridge import RobotBridge
from vla_inference_ros.nodes.sensor_bridge import SensorBridge
from vla_inference_ros.nodes.vla_node import VlaNode
from vla_inference_ros.nodes.vlm import Vlm

# What the status says of which stage; of the last two, the monitor knows all but the misses.
STAGES = {
    ("camera_bridge", "camera", "wire to topic"): "camera_wire",
    ("robot_bridge", "robot", "wire to topic"): "robot_wire",
    ("sensor_bridge", "sensor", "wire to topic"): "sensor_wire",
    ("vlm", "vlm", "jpeg decode"): "jpeg_decode",
    ("action_expert", "action_expert", "features age"): "features_age",
    ("action_expert", "action_expert", "window age"): "window_age",
    ("action_expert", "action_expert", "tick jitter"): "tick_jitter",
    ("action_expert", "action_expert", "publish"): "publish",
    ("vlm", "vlm", "vlm"): "vl_time",
    ("action_expert", "action_expert", "expert"): "action_time",
}
ONLY_MISSES = ("vl_time", "action_time")


def timed_reports() -> list[StreamReport]:
    """Of all stages, each with numbers of its own: stage n has n misses, and n + 1/2 for p50."""
    reports: dict[tuple[str, str], StreamReport] = {}
    for number, (node, stream, stage) in enumerate(STAGES, start=1):
        made = reports.setdefault((node, stream), report(node, stream, timings=[]))
        values = {"p50": number + 0.5, "p95": number + 0.75, "p99": number + 0.875}
        made.timings.append(StageTiming(stage=stage, count=99, misses=number, **values))
    return list(reports.values())


def test_every_stage_is_shown() -> None:
    status = status_of(seen_of(*timed_reports()))
    for number, prefix in enumerate(STAGES.values(), start=1):
        assert getattr(status, f"{prefix}_misses") == number
        shown = [getattr(status, f"{prefix}_{name}") for name in ("p50", "p95", "p99")]
        numbers = [number + 0.5, number + 0.75, number + 0.875]
        assert shown == ([0.0] * 3 if prefix in ONLY_MISSES else numbers)


def test_the_durations_of_vlm_and_expert_are_the_monitors_own() -> None:
    seen = seen_of(*timed_reports(), vl_time=statistics(0.25), action_time=statistics(0.125))
    status = status_of(seen)
    assert (status.vl_time_p99, status.action_time_p99) == (0.25, 0.125)


def test_a_stage_that_is_not_timed_is_all_zeros() -> None:
    for seen in (seen_of(), seen_of(report("vlm", "vlm"), report("camera_bridge", "camera"))):
        status = status_of(seen)
        for prefix in STAGES.values():
            shown = [getattr(status, f"{prefix}_{name}") for name in ("p50", "p95", "p99")]
            assert [*shown, getattr(status, f"{prefix}_misses")] == [0.0, 0.0, 0.0, 0]


@pytest.fixture
def nodes() -> Iterator[list[VlaNode[Any]]]:
    """All nodes that time stages, not started."""
    rclpy.init()
    made: list[VlaNode[Any]] = []
    try:
        for bridge, kind in (
            (CameraBridge, socket.SOCK_STREAM),
            (RobotBridge, socket.SOCK_STREAM),
            (SensorBridge, socket.SOCK_DGRAM),
        ):
            port = Parameter("port", value=free_port(kind))
            made.append(bridge(parameter_overrides=[port]))
        made += [Vlm(), ActionExpert()]
        yield made
    finally:
        for node in made:
            node.close()
        rclpy.shutdown()


def test_the_stages_are_those_that_the_nodes_time(nodes: list[VlaNode[Any]]) -> None:
    reports = [stream.report(NOW) for node in nodes for stream in node._streams]
    timed = [(made.node, made.stream, timing.stage) for made in reports for timing in made.timings]
    assert sorted(timed) == sorted(STAGES)


def test_the_clock_of_every_sending_host_is_shown() -> None:
    hosts = {view.lower(): ("camera_bridge", view) for view in VIEWS}
    hosts |= {"robot": ("robot_bridge", "robot"), "sensor": ("sensor_bridge", "sensor")}
    reports = [
        report(
            *stream,
            clock_mode="calibrate",
            clock_offset=-3.25 - number,
            clock_drift=number * 1e-6,
            clock_uncertainty=number * 1e-3,
            clock_steps=number,
        )
        for number, stream in enumerate(hosts.values())
    ]
    status = status_of(seen_of(*reports, report("vlm", "View1", clock_steps=100)))
    for number, prefix in enumerate(hosts):
        assert getattr(status, f"{prefix}_clock_offset") == -3.25 - number
        assert getattr(status, f"{prefix}_clock_drift") == number * 1e-6
        assert getattr(status, f"{prefix}_clock_uncertainty") == number * 1e-3
    assert status.clock_steps == sum(range(7))


def test_a_clock_that_is_being_learnt_has_a_negative_uncertainty() -> None:
    learning = report("sensor_bridge", "sensor", clock_mode="calibrate", clock_uncertainty=-1.0)
    assert status_of(seen_of(learning)).sensor_clock_uncertainty == -1.0


def test_a_clock_of_which_nothing_is_known_is_not_said_to_be_exact() -> None:
    assert status_of(seen_of()).robot_clock_uncertainty == -1.0

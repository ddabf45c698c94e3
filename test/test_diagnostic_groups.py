"""config/diagnostic_aggregator.yaml puts every status that the monitor publishes in one group."""

from __future__ import annotations

import re
import time
from typing import Any

import yaml

from vla_inference_ros import graph
from vla_inference_ros.convert import header
from vla_inference_ros.core.health import Condition, State
from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes import diagnostics
from vla_inference_ros.nodes.reports import Reports

CONFIG = graph.share() / "config" / "diagnostic_aggregator.yaml"
ANALYZERS: dict[str, dict[str, Any]] = {
    name: analyzer
    for name, analyzer in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["analyzers"][
        "ros__parameters"
    ].items()
    if isinstance(analyzer, dict)
}
STREAMS = {
    "camera_bridge": ["camera", *VIEWS],
    "robot_bridge": ["robot"],
    "sensor_bridge": ["sensor"],
    "vlm": ["vlm", *VIEWS],
    "action_expert": ["action_expert"],
    "recorder": ["pictures", "robot"],
    "bag_recorder": ["camera"],
    "vlm_2": ["vlm"],  # of somebody's own
}
GROUPS = {
    "camera_bridge": "cameras",
    "robot_bridge": "robot",
    "sensor_bridge": "sensor",
    "vlm": "vlm",
    "action_expert": "action_expert",
}


def matching(name: str) -> list[str]:
    """The groups that take a status, by the rules of GenericAnalyzer::match."""
    return [
        group
        for group, analyzer in ANALYZERS.items()
        if any(re.fullmatch(rule, name) for rule in analyzer.get("regex", []))
        or any(name.startswith(rule) for rule in analyzer.get("startswith", []))
        or any(rule in name for rule in analyzer.get("contains", []))
    ]


def status_names() -> list[str]:
    """What the monitor calls the statuses of these streams."""
    reports = Reports()
    for node, streams in STREAMS.items():
        for stream in streams:
            report = StreamReport(header=header(1.7e9), node=node, stream=stream)
            reports.add(report, time.monotonic())
    none = Summary(0, 0.0, 0.0, 0.0, 0.0)
    statuses = diagnostics.statuses(
        reports, Condition(State.OK), vl_time=none, action_time=none, now=1.7e9
    )
    return [status.name for status in statuses]


def test_every_status_is_in_one_group() -> None:
    names = status_names()
    assert len(names) == 1 + sum(len(streams) for streams in STREAMS.values())
    for name in names:
        node = name.split(": ")[1] if ": " in name else ""
        assert matching(name) == [GROUPS.get(node, "others") if node else "verdict"], name


def test_no_group_is_empty() -> None:
    taken = {group for name in status_names() for group in matching(name)}
    assert taken == set(ANALYZERS)


def test_what_other_packages_publish_is_in_no_group() -> None:
    for name in ("joystick: Joystick Driver Status", "vla_other: x", "lidar: vla: vlm: x"):
        assert matching(name) == []


def test_the_aggregator_knows_all_that_is_configured() -> None:
    known = {"type", "path", "regex", "startswith", "expected", "remove_prefix", "discard_stale"}
    known |= {"num_items"}
    for analyzer in ANALYZERS.values():
        assert set(analyzer) <= known
        assert analyzer["type"] == "diagnostic_aggregator/GenericAnalyzer"
        for rules in ("regex", "startswith", "expected", "remove_prefix"):
            assert all(isinstance(rule, str) for rule in analyzer.get(rules, []))
    assert len({analyzer["path"] for analyzer in ANALYZERS.values()}) == len(ANALYZERS)


def test_a_monitor_that_is_gone_shows() -> None:
    assert ANALYZERS["verdict"]["expected"] == ["vla"]
    assert matching("vla") == ["verdict"]

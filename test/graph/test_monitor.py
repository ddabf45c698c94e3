"""What the monitor tells of a run: lines on the console, a status, diagnostics; and its end."""

from __future__ import annotations

import math
import re
import time
from array import array
from collections.abc import Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import LATCHED, TIMEOUT, Listener, NodeProcess, running
from other_nodes import Others, chunk
from rclpy.parameter import Parameter

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core import run_length
from vla_inference_ros.graph import NO_CHUNK
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import InferenceStatus, RobotState, StreamReport, VLFeatures
from vla_inference_ros.nodes.monitor import Monitor


def features(update_id: int, duration: float) -> VLFeatures:
    return VLFeatures(
        header=header(1.7e9 - 1),
        update_id=update_id,
        started=time_message(1.7e9),
        finished=time_message(1.7e9 + duration),
    )


@pytest.fixture
def others(listener: Listener) -> Others:
    return Others(listener)


# First those that start a node of their own: the others share one, which then stays.


def test_the_status_tells_how_well_two_chunks_agree(listener: Listener, others: Others) -> None:
    listener.wait_until_alone()
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    later = array("f", [0.1234, -0.0449, 0.0891, 0.25, 0.6, 0.7, 1.8] * 8)
    with running("monitor", status_period=0.1) as node:
        listener.spin_until(lambda: statuses)
        others.introduce_expert(statuses)
        bad = chunk(1, 0.02, actions=later[:55])
        listener.deliver(bad, "/vla/actions")
        node.wait_until_said("action chunk 1 has 55 numbers for 8 steps of 7")
        listener.deliver(chunk(2, 0.02), "/vla/actions")
        listener.deliver(chunk(3, 0.02, header=header(1.7e9 + 0.1), actions=later), "/vla/actions")
        listener.spin_until(lambda: statuses and statuses[-1].actions == 3)
    status = statuses[-1]
    jumps = [0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 1.0]
    names = [*(f"joint_{number}" for number in range(1, 7)), "gripper"]
    shown = [getattr(status, f"seam_jump_{name}") for name in names]
    assert shown == pytest.approx(jumps, abs=1e-6)
    shown = [getattr(status, f"seam_jerk_{name}") for name in names]
    assert shown == pytest.approx([2 * jump / 0.1**3 for jump in jumps], abs=0.01)


def test_it_ends_itself_when_the_duration_is_over(listener: Listener, others: Others) -> None:
    listener.wait_until_alone()
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", duration=0.5) as node:
        others.introduce_expert(statuses)
        others.chunk(chunk(1, 0.02))
        assert node.wait() == 0
        assert node.said("duration of 0.5 s is over")


def test_a_run_with_a_duration_that_never_acts_has_failed(listener: Listener) -> None:
    listener.wait_until_alone()
    node = NodeProcess("monitor", {"duration": 0.5, "status_period": 0.1})
    node.wait_until_said("--- Status", times=20)  # all the while of the duration, and more
    assert not node.said("is over")
    assert node.stop() == NO_CHUNK
    (line,) = node.said("no action chunk has come")
    assert "so the duration of 0.5 s has not begun: WAIT: waiting for vlm, action_expert" in line


def test_it_gives_up_when_models_are_there_and_no_chunk_comes(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_length, "PATIENCE", 0.1)
    duration = Parameter("duration", value=0.1)
    monitor = Monitor(parameter_overrides=[duration])
    try:
        for name in ("vlm", "action_expert"):
            assert not monitor.finished
            monitor._see_report(StreamReport(node=name, stream=name, source_id=1))
        deadline = time.monotonic() + TIMEOUT
        while not monitor.finished:
            assert time.monotonic() < deadline
            rclpy.spin_once(monitor, timeout_sec=0.1)
    finally:
        monitor.close()
    assert monitor.exit_status == NO_CHUNK


# These share a node, which has seen one update, one chunk and one robot state.


@pytest.fixture(scope="module")
def node(listener: Listener) -> Iterator[NodeProcess]:
    listener.wait_until_alone()
    with running("monitor", status_period=0.5, diagnostics_period=0.5) as node:
        yield node


@pytest.fixture(scope="module")
def seen(node: NodeProcess, listener: Listener) -> list[str]:
    """The console after the first messages; before them, a status without anything."""
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    listener.spin_until(
        lambda: (
            statuses
            and statuses[-1].state == InferenceStatus.WAIT  # not of the node before
            and node.said("Robot: ")
        )
    )
    assert "waiting for vlm, action_expert, sensor samples (0/65)" in statuses[-1].reason
    robot = RobotState(joint_position=[math.radians(45.23)] * 6, position=[0.12345, 0.2, 0.3])
    listener.deliver(robot, "/robot/state")
    listener.deliver(features(25, 0.3812), "/vla/features")
    Others(listener).introduce_expert(statuses)
    listener.deliver(chunk(100, 0.0232), "/vla/actions")
    node.wait_until_said("[ACTION #100]")
    node.wait_until_said("J1=")
    return node.lines


def test_updates_and_chunks_have_their_lines(seen: list[str]) -> None:
    assert "🔄 [VL Update #25] Completed in 381ms" in seen
    assert (
        "[ACTION #100] VL_reuse=1/4 | Actions[0]: [0.123, -0.045, 0.089, ...] | Time: 23.2ms | "
        "Sensor: 65/65"
    ) in seen


def test_a_chunk_with_reservations_says_them(
    node: NodeProcess, seen: list[str], others: Others
) -> None:
    reasons = ["sensor window not full: 40/65 samples", "VLM late"]
    degraded = chunk(101, 0.0232, vl_reuse_index=5, sensor_samples=40, reasons=reasons)
    others.chunk(degraded)
    node.wait_until_said(
        "[ACTION #101] VL_reuse=5/4 | Actions[0]: [0.123, -0.045, 0.089, ...] | Time: 23.2ms | "
        "Sensor: 40/65 | DEGRADED: sensor window not full: 40/65 samples; VLM late"
    )


def test_the_status_block_keeps_the_references_form(
    node: NodeProcess, seen: list[str], others: Others, listener: Listener
) -> None:
    first = next(i for i, line in enumerate(seen) if line.startswith("--- Status"))
    assert re.fullmatch(r"--- Status \(\d\d:\d\d:\d\d\) ---", seen[first])
    assert seen[first + 1 : first + 6] == [
        "VL Updates: 0 | VL avg: 0ms",
        "Actions: 0 | Action avg: 0.0ms",
        "Images recv: View1:0, View2:0, View3:0, View4:0, View5:0",
        "Sensor buffer: 0/65",
        "Robot: no packet yet",
    ]
    others.chunk(chunk(102, 0.0232))
    others.reports()
    block = [
        "VL Updates: 25 | VL avg: 381ms",
        "Actions: 102 | Action avg: 23.2ms",
        "Images recv: View1:3000, View2:3000, View3:3000, View4:3000, View5:3000",
        "Sensor buffer: 65/65",
        "Robot: J1=45.23°, Px=123.45mm",
    ]

    def blocks() -> list[list[str]]:
        lines = node.lines
        return [lines[i : i + 5] for i, line in enumerate(lines) if line.startswith("VL Updates")]

    listener.spin_until(lambda: block in blocks(), repeat=others.reports)


def test_the_status_holds_what_the_nodes_report(
    seen: list[str], others: Others, listener: Listener
) -> None:
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    listener.spin_until(
        lambda: (
            statuses
            and statuses[-1].robot_received == 10_000
            and statuses[-1].state == InferenceStatus.HOLD
        ),
        repeat=others.reports,
    )
    status = statuses[-1]
    assert status.reason.startswith("no action chunk for ")
    assert "waiting for" not in status.reason
    assert (status.vl_updates, status.vl_rate, status.vl_skipped_ticks) == (25, 10.0, 4)
    for name in ("mean", "p50", "p95", "p99"):
        assert getattr(status, f"vl_time_{name}") == pytest.approx(0.3812, abs=1e-6)
        assert getattr(status, f"action_time_{name}") == pytest.approx(0.0232, abs=1e-6)
    assert status.actions >= 100
    assert (status.action_rate, status.action_missed_ticks) == (10.0, 0)
    assert status.features_age == pytest.approx(0.5, abs=1e-6)
    for view in VIEWS:
        assert getattr(status, f"{view.lower()}_received") == 3000
        assert getattr(status, f"{view.lower()}_age") == pytest.approx(1 / 16, abs=1e-6)
    assert (status.sensor_received, status.sensor_fill, status.sensor_window) == (65_000, 65, 65)
    assert status.sensor_clock_offset == -3.25
    assert status.sensor_age == pytest.approx(1 / 16, abs=1e-6)
    assert status.robot_age == pytest.approx(1 / 16, abs=1e-6)
    assert status.joint_1 == status.joint_6 == pytest.approx(math.radians(45.23))
    positions = [status.position_x, status.position_y, status.position_z]
    assert positions == pytest.approx([0.12345, 0.2, 0.3])
    assert status.rejected == 2  # skipped ticks are trouble, but no bad input


def test_diagnostics_tell_of_every_stream(
    seen: list[str], others: Others, listener: Listener
) -> None:
    arrays = listener.listen(DiagnosticArray, "/diagnostics")
    names = [
        "vla",
        "vla: action_expert: action_expert",
        *(f"vla: camera_bridge: {view}" for view in VIEWS),
        "vla: camera_bridge: camera",
        "vla: robot_bridge: robot",
        "vla: sensor_bridge: sensor",
        *(f"vla: vlm: {view}" for view in VIEWS),
        "vla: vlm: vlm",
    ]

    def status(name: str) -> DiagnosticStatus:
        return next(each for each in arrays[-1].status if each.name == name)

    def levels() -> dict[str, bytes]:
        return {each.name: each.level for each in arrays[-1].status} if arrays else {}

    expected = dict.fromkeys(names, DiagnosticStatus.OK) | {"vla": DiagnosticStatus.ERROR}
    listener.spin_until(lambda: levels() == expected, repeat=others.reports)
    assert [each.name for each in arrays[-1].status] == names
    assert status("vla").message.startswith("HOLD: no action chunk for ")
    values = {each.key: each.value for each in status("vla: sensor_bridge: sensor").values}
    assert values["accepted [samples]"] == "65000"
    assert values["clock offset [s]"] == "-3.250000"
    values = {each.key: each.value for each in status("vla: camera_bridge: camera").values}
    assert (values["ignored"], values["problem: bad JPEG"]) == ("7", "2")

    expected["vla: camera_bridge: camera"] = DiagnosticStatus.WARN
    listener.spin_until(
        lambda: levels() == expected, repeat=lambda: others.reports(3, troubles=["bad JPEG"])
    )
    assert status("vla: camera_bridge: camera").message == "bad input: bad JPEG"
    assert status("vla").message.endswith("; camera: bad JPEG")

    # And then they fall silent.
    expected = dict.fromkeys(names, DiagnosticStatus.STALE) | {"vla": DiagnosticStatus.ERROR}
    listener.spin_until(lambda: levels() == expected)
    assert "robot_bridge" in status("vla: robot_bridge: robot").message

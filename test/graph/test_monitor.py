from __future__ import annotations

import math
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import LATCHED, Listener, NodeProcess, running

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import (
    ActionChunk,
    InferenceStatus,
    RobotState,
    StreamReport,
    VLFeatures,
)


def features(update_id: int, duration: float) -> VLFeatures:
    return VLFeatures(
        header=header(1.7e9 - 1),
        update_id=update_id,
        started=time_message(1.7e9),
        finished=time_message(1.7e9 + duration),
    )


def chunk(chunk_id: int, duration: float, **fields: Any) -> ActionChunk:
    actions = array("f", [0.1234, -0.0449, 0.0891, 0.5, 0.6, 0.7, 0.8] * 8)
    given = {"header": header(1.7e9), "actions": actions}
    given |= {"vl_reuse_index": 1, "sensor_samples": 65} | fields
    return ActionChunk(
        chunk_id=chunk_id,
        step_dt=0.1,
        horizon=8,
        action_dim=7,
        inference_time=duration,
        vl_reuse_limit=4,
        features_stamp=time_message(1.7e9 - 0.5),
        sensor_window=65,
        **given,
    )


@dataclass
class Others:
    """All other nodes, as far as the monitor knows them."""

    listener: Listener

    def report(self, node: str, stream: str, accepted: int, **fields: Any) -> None:
        """A healthy stream's report, its newest item 1/16 s old, but for ``fields``."""
        now = time.time()
        given = {"rate": 10.0, "ready": True} | fields
        message = StreamReport(
            header=header(now),
            node=node,
            stream=stream,
            accepted=accepted,
            newest_stamp=time_message(now - 1 / 16),
            **given,
        )
        self.listener.deliver(message, "/vla/reports")

    def expert(self) -> None:
        """The action expert's report, without which its chunks are nobody's."""
        self.report("action_expert", "action_expert", 100, fill=65, capacity=65)

    def introduce_expert(self, statuses: list[InferenceStatus]) -> None:
        """Report until the monitor knows the action expert."""
        self.listener.spin_until(
            lambda: statuses and "action_expert" not in statuses[-1].reason, repeat=self.expert
        )

    def chunk(self, message: ActionChunk) -> None:
        """A chunk of the expert's."""
        self.expert()
        self.listener.deliver(message, "/vla/actions")

    def reports(self, bad_jpegs: int = 2, troubles: Sequence[str] = ()) -> None:
        self.report(
            "vlm", "vlm", 25, problem_kinds=["skipped tick"], problem_counts=[4], rejected=4
        )
        self.expert()
        for view in VIEWS:
            self.report("camera_bridge", view, 3000)
            self.report("vlm", view, 250)
        self.report(
            "camera_bridge",
            "camera",
            0,
            ignored=7,
            problem_kinds=["bad JPEG"],
            problem_counts=[bad_jpegs],
            rejected=bad_jpegs,
            troubles=list(troubles),
        )
        self.report("sensor_bridge", "sensor", 65_000, clock_mode="calibrate", clock_offset=-3.25)
        self.report("robot_bridge", "robot", 10_000)


@pytest.fixture
def others(listener: Listener) -> Others:
    return Others(listener)


# First those that start a node of their own: the others share one, which then stays.


def test_a_changed_state_is_told_at_once(listener: Listener, others: Others) -> None:
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", status_period=3600.0):
        others.introduce_expert(statuses)
        listener.deliver(chunk(1, 0.02), "/vla/actions")
        listener.spin_until(lambda: statuses and statuses[-1].state == InferenceStatus.HOLD)
        reason = "VLM late: features used 5 times, planned 4"
        others.chunk(chunk(2, 0.02, reasons=[reason], validity=1))
        listener.spin_until(lambda: statuses[-1].reason == reason)
        assert statuses[-1].state == InferenceStatus.DEGRADED
        both = [reason, "robot state is 0.12 s old, over 0.1 s"]
        again = chunk(2, 0.02, reasons=both, validity=1)
        listener.spin_until(
            lambda: statuses[-1].reason == "; ".join(both),
            repeat=lambda: others.chunk(again),
        )
        listener.spin_until(lambda: statuses[-1].state == InferenceStatus.HOLD)
        assert statuses[-1].reason.startswith("no action chunk for ")
        others.chunk(chunk(3, 0.02))
        listener.spin_until(lambda: statuses[-1].state == InferenceStatus.OK)
        assert statuses[-1].reason == ""
        assert statuses[-1].actions == 3


def test_chunks_of_another_than_the_expert_that_reports_do_not_count(
    listener: Listener, others: Others
) -> None:
    listener.wait_until_alone()
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", status_period=0.1) as node:
        foreign = chunk(1, 0.02, source_id=7)
        listener.spin_until(
            lambda: node.said("chunks of a node that does not report as action_expert"),
            repeat=lambda: listener.deliver(foreign, "/vla/actions"),
        )
        assert statuses[-1].state == InferenceStatus.WAIT
        listener.spin_until(
            lambda: statuses[-1].state == InferenceStatus.HOLD,
            repeat=lambda: others.chunk(foreign),
        )
        assert "/vla/actions has more than one publisher: " in statuses[-1].reason
        listener.spin_until(
            lambda: statuses[-1].state == InferenceStatus.OK,
            repeat=lambda: others.chunk(chunk(2, 0.02)),
        )
        assert statuses[-1].actions == 2


def test_the_reports_of_another_node_of_the_same_name_do_not_count(
    listener: Listener, others: Others
) -> None:
    listener.wait_until_alone()
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)

    def tell(*, twice: bool) -> None:
        others.chunk(chunk(1, 0.02))
        others.report("sensor_bridge", "sensor", 1000)
        if twice:
            others.report("sensor_bridge", "sensor", 2000, source_id=7)

    with running("monitor", status_period=0.1):
        listener.spin_until(
            lambda: statuses and statuses[-1].state == InferenceStatus.OK,
            repeat=lambda: tell(twice=False),
        )
        listener.spin_until(
            lambda: statuses[-1].state == InferenceStatus.HOLD, repeat=lambda: tell(twice=True)
        )
        assert statuses[-1].reason.startswith("more than one sensor_bridge in this ROS domain")
        listener.spin_until(
            lambda: statuses[-1].state == InferenceStatus.OK, repeat=lambda: tell(twice=False)
        )
        assert statuses[-1].sensor_received == 1000


def test_what_is_wrong_with_a_stream_is_told_at_once_and_so_is_its_end(
    listener: Listener, others: Others
) -> None:
    listener.wait_until_alone()
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    arrays = listener.listen(DiagnosticArray, "/diagnostics")

    def tell(*troubles: str) -> None:
        others.report("robot_bridge", "robot", 10_000, troubles=list(troubles))
        others.report("sensor_bridge", "sensor", 10_000)
        others.chunk(chunk(1, 0.02))

    with running("monitor", status_period=3600.0, diagnostics_period=3600.0):
        listener.spin_until(lambda: statuses and statuses[-1].state == InferenceStatus.OK, tell)
        listener.spin_until(
            lambda: statuses[-1].troubles == ["robot: nothing comes"],
            repeat=lambda: tell("nothing comes"),
        )
        assert (statuses[-1].state, statuses[-1].reason) == (InferenceStatus.OK, "")
        listener.spin_until(
            lambda: arrays and arrays[-1].status[0].message == "OK, but robot: nothing comes",
            repeat=lambda: tell("nothing comes"),
        )
        assert arrays[-1].status[0].level == DiagnosticStatus.OK
        listener.spin_until(
            lambda: not statuses[-1].troubles and arrays[-1].status[0].message == "OK", repeat=tell
        )


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

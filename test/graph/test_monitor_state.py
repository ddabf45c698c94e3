"""The state that the monitor gives: told at once, and by what this run's own nodes say alone."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from harness import LATCHED, Listener, running
from other_nodes import Others, chunk

from vla_inference_ros.msg import InferenceStatus


@pytest.fixture
def others(listener: Listener) -> Others:
    return Others(listener)


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

"""The bench of the faults reads off the verdicts when a fault was shown and when it was over."""

from __future__ import annotations

from typing import Any

import pytest
import verdicts

from vla_inference_ros.core.health import State
from vla_inference_ros.msg import InferenceStatus

T = 1_700_000_000.0  # when the fault begins to act, or is over


def verdict(at: float, state: State, reason: str = "", *troubles: str) -> tuple[float, Any]:
    status = InferenceStatus(state=int(state), reason=reason, troubles=list(troubles))
    return T + at, status


def test_a_verdict_names_inputs_in_its_reason_and_its_troubles() -> None:
    _, status = verdict(0, State.HOLD, "VLM: image of View3 is 1.20 s old", "robot: nothing comes")
    assert verdicts.streams_named(status) == {"View3", "robot"}
    _, status = verdict(0, State.DEGRADED, "features are 1.20 s old", "vlm: skipped tick")
    assert verdicts.streams_named(status) == set()


def test_a_verdict_may_also_have_other_names_than_those_of_inputs() -> None:
    statuses = [
        verdict(0.1, State.OK, "", "recorders: nothing"),
        verdict(0.2, State.OK, "", "recorder: frames: no folder to save to"),
        verdict(0.5, State.OK),
    ]
    assert verdicts.shown_after(statuses, T, {"recorder"}) == pytest.approx(0.2, abs=1e-6)
    assert verdicts.cleared_after(statuses, T, {"recorder"}) == pytest.approx(0.5, abs=1e-6)
    assert verdicts.shown_after(statuses, T, set()) is None


def test_a_fault_is_shown_by_the_first_verdict_that_names_its_stream() -> None:
    statuses = [
        verdict(-1.0, State.OK, "", "robot: nothing comes"),
        verdict(0.2, State.OK, "", "View1: nothing comes"),
        verdict(0.5, State.OK, "", "robot: nothing comes"),
        verdict(0.9, State.HOLD, "robot state is 1.00 s old"),
    ]
    assert verdicts.shown_after(statuses, T, {"robot"}) == pytest.approx(0.5, abs=1e-6)
    assert verdicts.shown_after(statuses, T, {"sensor"}) is None


def test_a_verdict_is_clear_once_it_stays_ok_and_names_the_stream_no_more() -> None:
    statuses = [
        verdict(-0.5, State.OK),
        verdict(0.1, State.DEGRADED, "robot state is 0.20 s old"),
        verdict(0.2, State.OK),
        verdict(0.4, State.OK, "", "robot: packets come late"),
        verdict(0.7, State.OK, "", "View1: packets come late"),
        verdict(0.9, State.OK),
    ]
    for count, cleared in ((1, 0.0), (2, None), (3, 0.2), (4, None), (5, 0.7), (6, 0.7)):
        found = verdicts.cleared_after(statuses[:count], T, {"robot"})
        assert found == (None if cleared is None else pytest.approx(cleared, abs=1e-6))

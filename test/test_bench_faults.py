"""The table of the bench of the faults: what is read off a run, and which limits it keeps."""

from __future__ import annotations

from dataclasses import replace

import faults
import pytest
from fault_cases import cases

from vla_inference_ros.core.health import State
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import InferenceStatus

T = 1_700_000_000.0  # when the fault is over

GOOD = faults.Outcome(
    "sensor: loss",
    State.OK,
    "",
    ok=40,
    degraded=0,
    withheld=0,
    recovery=0.1,
    shown=0.2,
    cleared=0.3,
)


def chunks(*states: str) -> list[tuple[float, bool]]:
    """One a tick from ``T`` on: O an OK chunk, D a degraded one, a space none."""
    return [(T + n / 10, state == "O") for n, state in enumerate("".join(states)) if state != " "]


@pytest.mark.parametrize(
    ("flow", "recovery"),
    [
        ("O" * 12, 0.0),
        ("D" * 5 + "O" * 12, 0.5),
        ("OOODDO" + "O" * 12, 0.5),
        (" " * 8 + "O" * 12, 0.8),
        ("OOO    " + "O" * 12, 0.7),
        ("O" * 9, None),
        ("D" * 20, None),
        ("", None),
    ],
)
def test_recovery_is_when_chunks_begin_to_stay_ok(flow: str, recovery: float | None) -> None:
    before = [(T - 0.1, True)]
    found = faults.recovery_time([*before, *chunks(flow)], T)
    assert found == (None if recovery is None else pytest.approx(recovery, abs=1e-6))


def test_the_worst_state_while_a_fault_is_on_is_shown_with_its_last_reason() -> None:
    statuses = [
        (T - 1, InferenceStatus(state=int(State.HOLD), reason="before")),
        (T + 1, InferenceStatus(state=int(State.DEGRADED), reason="first")),
        (T + 2, InferenceStatus(state=int(State.DEGRADED), reason="last")),
        (T + 3, InferenceStatus(state=int(State.OK))),
        (T + 5, InferenceStatus(state=int(State.HOLD), reason="after")),
    ]
    assert faults.worst_status(statuses, T, T + 4) == (State.DEGRADED, "last")


def test_a_wrong_chunk_or_a_slow_recovery_misses_the_limits() -> None:
    assert GOOD.kept
    assert str(GOOD).endswith("ok")
    assert not replace(GOOD, wrongs=["chunk 1: wrong"]).kept
    assert not replace(GOOD, recovery=3.1).kept
    assert str(replace(GOOD, recovery=None)).endswith("-    0.2    0.3  MISSED")


@pytest.mark.parametrize("late", [{"shown": 1.1}, {"shown": None}, {"cleared": 1.1}])
def test_a_verdict_that_is_late_or_missing_misses_them_too(late: dict[str, float | None]) -> None:
    found = replace(GOOD, **late)  # type: ignore[arg-type]
    assert not found.kept
    assert replace(found, is_seen=False).kept == ("shown" in late)
    assert str(replace(GOOD, others={"robot"})).endswith("ok  also named: robot")


def test_every_fault_names_its_streams() -> None:
    streams = {case.name: case.streams for case in cases()}
    assert streams["none"] == set()
    assert streams["one camera: loss 20 %"] == {"View1", "camera"}
    assert streams["all cameras: loss 20 %"] == {*VIEWS, "camera"}
    assert streams["robot: delay 0.8 s"] == {"robot"}
    assert streams["all: loss 20 %, reorder 5 %, duplicate 5 %"] >= {"View5", "robot", "sensor"}
    assert streams["a stranger: cameras with odd names"] == {"camera", "View1"}
    assert streams["second publisher: View1"] == {"View1", "camera"}
    assert streams["second publisher: actions"] == {"vla/actions"}
    assert streams["VLM: silent, other weights in its place"] == {"features", "vla/features"}
    assert streams["VLM: told something, dies, comes back"] == {"features", "vla/features"}
    assert streams["recorder: its disk goes away"] == {"recorder"}
    unseen = [case.name for case in cases() if not case.is_seen]
    drifting = [each for each in streams if "drift" in each]
    assert unseen == ["none", *drifting, "a stranger: 3000 reporters"]

from __future__ import annotations

from collections.abc import Sequence

import pytest

from vla_inference_ros.core.health import (
    Condition,
    Level,
    State,
    expert_health,
    inference_state,
    stream_health,
    vlm_health,
)


def test_values_are_those_of_the_messages() -> None:
    assert [(level.name, int(level)) for level in Level] == [
        ("OK", 0),
        ("WARN", 1),
        ("ERROR", 2),
        ("STALE", 3),
    ]
    assert [(state.name, int(state)) for state in State] == [
        ("WAIT", 0),
        ("OK", 1),
        ("DEGRADED", 2),
        ("HOLD", 3),
    ]


@pytest.mark.parametrize(
    ("duration", "level"),
    [(0.0, Level.OK), (0.381, Level.OK), (0.5, Level.OK), (0.501, Level.ERROR)],
)
def test_a_vlm_update_over_500_ms_is_a_problem(duration: float, level: Level) -> None:
    finding = vlm_health(duration)
    assert finding.level is level
    assert f"{duration * 1e3:.0f} ms" in finding.message


@pytest.mark.parametrize(
    ("duration", "fill", "level"),
    [
        (0.024, 65, Level.OK),
        (0.050, 65, Level.OK),
        (0.051, 65, Level.WARN),
        (0.100, 65, Level.WARN),
        (0.101, 65, Level.ERROR),
        (0.024, 30, Level.OK),
        (0.024, 29, Level.WARN),
        (0.101, 0, Level.ERROR),
    ],
)
def test_an_expert_step_is_slow_over_50_and_a_problem_over_100_ms(
    duration: float, fill: int, level: Level
) -> None:
    assert expert_health(duration, fill).level is level


def test_a_thin_sensor_window_is_named() -> None:
    assert expert_health(0.024, 12).message == "sensor window holds 12, under 30"


@pytest.mark.parametrize(
    ("accepted", "age", "troubles", "level", "message"),
    [
        (0, -1.0, [], Level.WARN, "nothing received yet"),
        (0, -1.0, ["bad JPEG"], Level.WARN, "nothing received yet"),
        (9, 1.0, [], Level.OK, "receiving"),
        (9, 1.1, ["bad JPEG"], Level.ERROR, "nothing new for 1.1 s"),
        (9, 0.1, ["bad JPEG", "wrong size"], Level.WARN, "bad JPEG, wrong size"),
    ],
)
def test_a_stream_is_silent_stalled_bad_or_fine(
    accepted: int, age: float, troubles: list[str], level: Level, message: str
) -> None:
    finding = stream_health(accepted, age, troubles)
    assert finding.level is level
    assert finding.message.startswith(message)


@pytest.mark.parametrize(
    ("since", "reasons", "waiting", "state", "reason"),
    [
        (None, [], [], State.WAIT, "waiting for the first action chunk"),
        (
            None,
            ["late"],
            ["vlm", "images of View2"],
            State.WAIT,
            "waiting for vlm, images of View2",
        ),
        (0.1, [], [], State.OK, ""),
        (0.1, [], ["images of View2"], State.OK, ""),
        (0.5, ["late", "gaps"], [], State.DEGRADED, "late; gaps"),
        (0.6, ["late"], [], State.HOLD, "no action chunk for 0.6 s"),
        (0.6, [], ["vlm"], State.HOLD, "no action chunk for 0.6 s: waiting for vlm"),
    ],
)
def test_the_state_of_the_inference(
    since: float | None, reasons: Sequence[str], waiting: Sequence[str], state: State, reason: str
) -> None:
    found = inference_state(since_chunk=since, period=0.1, reasons=reasons, waiting_for=waiting)
    assert found == (state, reason)


@pytest.mark.parametrize(("since", "state"), [(1.9, State.OK), (2.1, State.HOLD)])
def test_slow_chunks_may_take_two_periods(since: float, state: State) -> None:
    assert inference_state(since_chunk=since, period=1.0, reasons=[], waiting_for=[])[0] is state


@pytest.mark.parametrize(
    ("since", "reasons", "waiting", "state", "reason"),
    [
        (None, [], [], State.WAIT, "features are 3.00 s old"),
        (None, [], ["images of View2"], State.WAIT, "waiting for images of View2"),
        (0.1, [], [], State.HOLD, "features are 3.00 s old"),
        (0.1, ["late"], ["images of View2"], State.HOLD, "features are 3.00 s old"),
        (9.0, [], ["vlm"], State.HOLD, "features are 3.00 s old"),
    ],
)
def test_chunks_that_are_held_back_are_a_hold_at_once(
    since: float | None, reasons: Sequence[str], waiting: Sequence[str], state: State, reason: str
) -> None:
    found = inference_state(
        since_chunk=since,
        period=0.1,
        reasons=reasons,
        waiting_for=waiting,
        hold="features are 3.00 s old",
    )
    assert found == (state, reason)


@pytest.mark.parametrize("since", [None, 0.1, 9.0])
def test_what_is_there_twice_is_a_hold_whatever_comes(since: float | None) -> None:
    conflict = "/vla/actions has more than one publisher: a, b"
    found = inference_state(
        since_chunk=since,
        period=0.1,
        reasons=["late"],
        waiting_for=["vlm"],
        hold="features are 3.00 s old",
        conflict=conflict,
    )
    assert found == (State.HOLD, conflict)


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        (Condition(State.OK), "OK"),
        (Condition(State.WAIT, "waiting for vlm"), "WAIT: waiting for vlm"),
        (Condition(State.OK, "", ("robot: late",)), "OK, but robot: late"),
        (Condition(State.HOLD, "", ("robot: late",)), "HOLD: robot: late"),
        (
            Condition(State.DEGRADED, "features are old", ("View1: gone", "View2: gone")),
            "DEGRADED: features are old; View1: gone; View2: gone",
        ),
    ],
)
def test_the_verdict_in_plain_words(condition: Condition, verdict: str) -> None:
    assert str(condition) == verdict

import time
from array import array
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.health import Condition, Level, State
from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.msg import StageTiming, StreamReport
from vla_inference_ros.nodes import diagnostics
from vla_inference_ros.nodes.reports import Reports

NOW = 1_700_000_000.0


def report(
    node: str,
    stream: str,
    *,
    age: float = 0.01,
    problems: dict[str, int] | None = None,
    **more: Any,
) -> StreamReport:
    """A report of a busy stream, made just now; ``age`` [s] of its newest item."""
    problems = problems or {}
    return StreamReport(
        header=header(NOW),
        node=node,
        stream=stream,
        newest_stamp=time_message(NOW - age),
        rejected=sum(problems.values()),
        problem_kinds=list(problems),
        problem_counts=array("Q", problems.values()),
        **({"accepted": 100, "rate": 10.0, "fill": 65, "ready": True} | more),
    )


class Rig:
    """Diagnostics over reports, asked about now."""

    def __init__(self) -> None:
        self._reports = Reports()

    def statuses(
        self, *reports: StreamReport, vl_time: float = 0.38, action_time: float = 0.025, **more: Any
    ) -> list[DiagnosticStatus]:
        """The statuses once these reports have come; mean times [s] of the stages."""
        arrival = time.monotonic() - more.pop("silent_for", 0.0)
        for one in reports:
            self._reports.add(one, arrival)
        return diagnostics.statuses(
            self._reports,
            more.get("condition", Condition(State.OK)),
            vl_time=Summary(10, vl_time, 0.1, 0.2, 0.3),
            action_time=Summary(10, action_time, 0.01, 0.02, 0.03),
            now=NOW,
        )

    def finding(self, reported: StreamReport, **more: Any) -> tuple[Level, str]:
        """Level and message of one stream."""
        _, status = self.statuses(reported, **more)
        return Level(status.level[0]), status.message


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_levels_are_those_of_diagnostic_msgs() -> None:
    for level in Level:
        assert getattr(DiagnosticStatus, level.name) == bytes([level])


@pytest.mark.parametrize(
    ("state", "level"),
    [
        (State.WAIT, Level.WARN),
        (State.OK, Level.OK),
        (State.DEGRADED, Level.WARN),
        (State.HOLD, Level.ERROR),
    ],
)
def test_the_first_status_is_the_verdict(rig: Rig, state: State, level: Level) -> None:
    condition = Condition(state, "because", ("robot: packets come late",))
    (status,) = rig.statuses(condition=condition)
    assert (status.level, status.name) == (bytes([level]), "vla")
    assert (status.message, status.hardware_id) == (str(condition), "none")
    assert {pair.key: pair.value for pair in status.values} == {
        "state": state.name,
        "reason": "because",
        "trouble 1": "robot: packets come late",
    }
    assert rig.statuses(condition=Condition(state))[0].message == state.name


def test_every_stream_has_its_name_and_values(rig: Rig) -> None:
    sensor = report("sensor_bridge", "sensor", ignored=2, problems={"length": 4}, rate=650.0)
    expert = report("action_expert", "action_expert", capacity=65, fill=64, age=0.1)
    unused = report("camera_bridge", "View5", accepted=0, age=NOW)
    _, *statuses = rig.statuses(sensor, unused, expert)
    names = [(status.name, status.hardware_id) for status in statuses]
    assert names == [
        ("vla: action_expert: action_expert", "none"),
        ("vla: camera_bridge: View5", "View5"),
        ("vla: sensor_bridge: sensor", "sensor"),
    ]
    values = [{pair.key: pair.value for pair in status.values} for status in statuses]
    assert (values[0]["window [samples]"], values[0]["window size [samples]"]) == ("64", "65")
    assert (values[0]["accepted [chunks]"], values[0]["duration mean [ms]"]) == ("100", "25.0")
    assert values[1]["age of newest [s]"] == "none yet"
    assert values[2] == {
        "accepted [samples]": "100",
        "rejected": "4",
        "ignored": "2",
        "rate [Hz]": "650.00",
        "age of newest [s]": "0.010",
        "problem: length": "4",
    }


def values_of(rig: Rig, reported: StreamReport) -> dict[str, str]:
    _, status = rig.statuses(reported)
    return {pair.key: pair.value for pair in status.values}


CLOCK: dict[str, Any] = {
    "clock_mode": "calibrate",
    "clock_offset": -3.25,
    "clock_drift": 12.34e-6,
    "clock_uncertainty": 0.000_45,
    "clock_steps": 2,
}


def test_a_senders_clock_is_shown(rig: Rig) -> None:
    values = values_of(rig, report("sensor_bridge", "sensor", **CLOCK))
    assert {key: value for key, value in values.items() if "clock" in key} == {
        "clock mode": "calibrate",
        "clock offset [s]": "-3.250000",
        "clock drift [ppm]": "+12.3",
        "clock uncertainty [ms]": "0.450",
        "clock steps": "2",
    }
    assert "ages" not in values


@pytest.mark.parametrize(
    ("fields", "key", "value"),
    [
        ({"clock_uncertainty": -1.0}, "clock uncertainty [ms]", "learning"),
        ({"clock_uncertainty": 0.0}, "clock uncertainty [ms]", "0.000"),
        ({"clock_mode": "trust", "clock_offset": 0.0}, "clock mode", "trust"),
        ({"clock_mode": "trust", "clock_offset": 0.0}, "clock offset [s]", "+0.000000"),
        ({"clock_lower_bound": True}, "ages", "lower bounds: the sender gives no send time"),
    ],
)
def test_what_is_special_about_a_clock_is_said(
    rig: Rig, fields: dict[str, Any], key: str, value: str
) -> None:
    values = values_of(rig, report("camera_bridge", "View5", **(CLOCK | fields)))
    assert values[key] == value


def test_where_there_is_no_senders_clock_none_is_shown(rig: Rig) -> None:
    values = values_of(rig, report("vlm", "View1", clock_offset=1.0, clock_steps=1))
    assert not [key for key in values if "clock" in key]


def test_stages_are_shown_in_milliseconds_with_their_misses(rig: Rig) -> None:
    timings = [
        StageTiming(
            stage="publish", count=600, p50=0.0012, p95=0.01, p99=0.02, deadline=0.005, misses=3
        ),
        StageTiming(stage="expert", deadline=0.1),
    ]
    expert = report("action_expert", "action_expert", timings=timings)
    values = values_of(rig, expert)
    assert {key: value for key, value in values.items() if key.startswith("publish")} == {
        "publish p50 [ms]": "1.2",
        "publish p95 [ms]": "10.0",
        "publish p99 [ms]": "20.0",
        "publish deadline [ms]": "5",
        "publish late": "3",
        "publish in the last minute": "600",
    }
    assert values["expert p99 [ms]"] == "0.0"
    assert (values["expert deadline [ms]"], values["expert late"]) == ("100", "0")
    assert values["duration mean [ms]"] == "25.0"  # the monitor's own


# --- streams


@pytest.mark.parametrize(
    ("fields", "level", "message"),
    [
        ({}, Level.OK, "receiving"),
        ({"age": 0.99}, Level.OK, "receiving"),
        ({"age": 1.2}, Level.ERROR, "nothing new for 1.2 s"),
        ({"accepted": 0, "age": NOW}, Level.WARN, "nothing received yet: is the sender running?"),
        ({"problems": {"json": 1, "size": 2}}, Level.OK, "receiving"),  # some time ago
        ({"troubles": ["json", "packets come late"]}, Level.WARN, "json, packets come late"),
        ({"age": 1.2, "troubles": ["nothing comes"]}, Level.ERROR, "nothing new for 1.2 s"),
        ({"age": -60.0}, Level.OK, "receiving"),  # a sender whose clock is ahead
    ],
)
def test_a_stream(rig: Rig, fields: dict[str, Any], level: Level, message: str) -> None:
    assert rig.finding(report("robot_bridge", "robot", **fields)) == (level, message)


def test_a_senders_packets_that_came_amiss_are_counted(rig: Rig) -> None:
    amiss: dict[str, Any] = {"lost": 3, "overtaken": 4, "repeated": 5}
    values = values_of(rig, report("sensor_bridge", "sensor", **CLOCK, **amiss))
    assert {key: value for key, value in values.items() if key.endswith("packets")} == {
        "lost packets": "3",
        "overtaken packets": "4",
        "repeated packets": "5",
    }


def test_messages_of_no_view_matter_only_if_they_are_bad(rig: Rig) -> None:
    unused = report("camera_bridge", "camera", accepted=0, ignored=500, age=NOW)
    assert rig.finding(unused) == (Level.OK, "no bad input")
    assert values_of(rig, unused) == {"rejected": "0", "ignored": "500"}
    bad = report("camera_bridge", "camera", accepted=0, age=NOW, troubles=["json"])
    assert rig.finding(bad) == (Level.WARN, "bad input: json")


def test_a_node_that_reports_no_more_is_stale(rig: Rig) -> None:
    level, message = rig.finding(report("vlm", "View1"), silent_for=4.0)
    assert (level, message) == (Level.STALE, "no report from vlm: has it stopped?")
    assert rig.finding(report("vlm", "View1"), silent_for=2.0)[0] is Level.OK


def test_the_vlm_takes_images_rarely(rig: Rig) -> None:
    assert rig.finding(report("vlm", "View1", age=1.9, rate=0.5)) == (Level.OK, "receiving")
    stopped = report("vlm", "View1", age=6.0, rate=0.0)
    assert rig.finding(stopped) == (Level.ERROR, "nothing new for 6.0 s")


# --- stages


@pytest.mark.parametrize(
    ("milliseconds", "level"),
    [(200, Level.OK), (375, Level.OK), (400, Level.OK), (500, Level.OK), (501, Level.ERROR)],
)
def test_vlm_updates_over_500_ms_are_a_problem(rig: Rig, milliseconds: int, level: Level) -> None:
    found, message = rig.finding(report("vlm", "vlm"), vl_time=milliseconds / 1e3)
    assert found is level
    assert f"updates take {milliseconds} ms" in message


@pytest.mark.parametrize(
    ("milliseconds", "level"),
    [
        (5, Level.OK),
        (30, Level.OK),
        (50, Level.OK),
        (51, Level.WARN),
        (100, Level.WARN),
        (101, Level.ERROR),
    ],
)
def test_expert_steps_over_50_ms_are_slow_and_over_100_a_problem(
    rig: Rig, milliseconds: int, level: Level
) -> None:
    expert = report("action_expert", "action_expert", age=0.1)
    found, message = rig.finding(expert, action_time=milliseconds / 1e3)
    assert found is level
    assert f"steps take {milliseconds}.0 ms" in message


@pytest.mark.parametrize(("fill", "level"), [(65, Level.OK), (30, Level.OK), (29, Level.WARN)])
def test_fewer_than_30_samples_are_warned_of(rig: Rig, fill: int, level: Level) -> None:
    found, message = rig.finding(report("action_expert", "action_expert", fill=fill))
    assert found is level
    assert (message == "sensor window holds 29, under 30") == (level is Level.WARN)


def test_a_stages_result_may_be_as_old_as_its_inputs_and_its_period(rig: Rig) -> None:
    # An image 70 ms old, 380 ms of update, 400 ms to the next one; and slower still by choice.
    for age in (0.85, 3.0):
        assert rig.finding(report("vlm", "vlm", age=age, rate=0.4))[0] is Level.OK


def test_a_stage_that_gives_no_more_results_has_a_problem(rig: Rig) -> None:
    stopped = report("action_expert", "action_expert", age=5.1, rate=0.0)
    assert rig.finding(stopped) == (Level.ERROR, "no result for 5.1 s")
    first = report("action_expert", "action_expert", age=0.1, rate=0.0)  # no rate is known yet
    assert rig.finding(first)[0] is Level.OK


def test_a_stage_before_its_first_result(rig: Rig) -> None:
    fields: dict[str, Any] = {"accepted": 0, "rate": 0.0, "age": NOW}
    waiting = report("vlm", "vlm", ready=False, **fields)
    assert rig.finding(waiting, vl_time=0.0) == (Level.WARN, "waiting for its inputs")
    working = report("vlm", "vlm", ready=True, **fields)
    assert rig.finding(working, vl_time=0.0) == (Level.WARN, "no result yet")
    wrong = report("vlm", "vlm", ready=False, troubles=["features shape"], **fields)
    assert rig.finding(wrong) == (Level.WARN, "waiting for its inputs; trouble: features shape")


def test_late_ticks_do_not_hide_how_slow_a_stage_is(rig: Rig) -> None:
    late = report("vlm", "vlm", troubles=["skipped tick"])
    assert rig.finding(late) == (Level.WARN, "updates take 380 ms; trouble: skipped tick")
    level, message = rig.finding(late, vl_time=0.6)
    assert (level, message) == (Level.ERROR, "updates take 600 ms, over 500; trouble: skipped tick")

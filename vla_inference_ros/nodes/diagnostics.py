"""Turns the nodes' reports into /diagnostics: one status per stream, per stage, and one for all."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vla_inference_ros.core.health import (
    STALLED_AFTER,
    Condition,
    Finding,
    Level,
    State,
    expert_health,
    stream_health,
    vlm_health,
)
from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes.reports import Reports
from vla_inference_ros.nodes.stream import CALLBACKS

_SOFTWARE = "none"  # the hardware id of what is none
_UNITS = {  # of what a node's streams count
    "camera_bridge": "frames",
    "robot_bridge": "packets",
    "sensor_bridge": "samples",
    "vlm": "pictures",
    "action_expert": "chunks",
}
_UNITS_OF_STREAMS = {"vlm": "updates", "sensor": "samples"}  # before those of their nodes
_STATE_LEVELS = {
    State.WAIT: Level.WARN,
    State.OK: Level.OK,
    State.DEGRADED: Level.WARN,
    State.HOLD: Level.ERROR,
}


def statuses(
    reports: Reports, condition: Condition, *, vl_time: Summary, action_time: Summary, now: float
) -> list[DiagnosticStatus]:
    """All statuses at ``now`` [Unix s]; the first is the verdict on the whole inference."""
    verdict = Finding(_STATE_LEVELS[condition.state], str(condition))
    values = {"state": condition.state.name, "reason": condition.reason}
    values |= {f"trouble {n}": each for n, each in enumerate(condition.troubles, start=1)}
    result = [_status("vla", _SOFTWARE, verdict, values)]
    times = {"vlm": vl_time, "action_expert": action_time}
    for report in reports.all():
        age, silent = reports.age(report, now), reports.is_silent(report)
        if silent:
            finding = Finding(Level.STALE, f"no report from {report.node}: has it stopped?")
        elif _has_only_bad(report):
            finding = _mixed_health(report.troubles)
        elif report.stream in times:
            finding = _stage_health(report, age, times[report.stream])
        else:
            # The VLM takes an image once an update: not so often that its age says much.
            rare = report.node == "vlm" and report.rate > 0
            finding = stream_health(report.accepted, 0.0 if rare else age, report.troubles)
        values = _values(report, age)
        hardware = report.stream
        if report.stream in times:
            hardware = _SOFTWARE
            values["duration mean [ms]"] = f"{times[report.stream].mean * 1e3:.1f}"
        result.append(_status(f"{report.node}: {report.stream}", hardware, finding, values))
    return result


def _has_only_bad(report: StreamReport) -> bool:
    """Whether a stream is of what belongs to no other, and only the bad of it matters."""
    is_of_no_view = (report.node, report.stream) == ("camera_bridge", "camera")
    return is_of_no_view or report.stream == CALLBACKS


def _mixed_health(troubles: Sequence[str]) -> Finding:
    """Of a stream that has only bad input."""
    if troubles:
        return Finding(Level.WARN, f"bad input: {', '.join(troubles)}")
    return Finding(Level.OK, "no bad input")


def _stage_health(report: StreamReport, age: float, times: Summary) -> Finding:
    """Of a stage. Its results come once a period, and are as old as their oldest input: only when
    none came for so long that the rate is zero has it stopped.
    """
    if report.accepted == 0:
        finding = Finding(Level.WARN, "no result yet" if report.ready else "waiting for its inputs")
    elif report.rate == 0 and age > STALLED_AFTER:
        finding = Finding(Level.ERROR, f"no result for {age:.1f} s")
    elif report.stream == "vlm":
        finding = vlm_health(times.mean)
    else:
        finding = expert_health(times.mean, report.fill)
    if not report.troubles:
        return finding
    trouble = f"{finding.message}; trouble: {', '.join(report.troubles)}"
    return Finding(max(finding.level, Level.WARN), trouble)


def _status(
    name: str, hardware_id: str, finding: Finding, values: dict[str, str]
) -> DiagnosticStatus:
    return DiagnosticStatus(
        level=bytes([finding.level]),
        name=name if name == "vla" else f"vla: {name}",
        message=finding.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def _values(report: StreamReport, age: float) -> dict[str, str]:
    unit = _UNITS_OF_STREAMS.get(report.stream) or _UNITS.get(report.node, "items")
    values = {
        f"accepted [{unit}]": str(report.accepted),
        "rejected": str(report.rejected),
        "ignored": str(report.ignored),
        "rate [Hz]": f"{report.rate:.2f}",
        "age of newest [s]": f"{age:.3f}" if age >= 0 else "none yet",
    }
    if _has_only_bad(report):  # it has nothing but what is bad
        values = {key: values[key] for key in ("rejected", "ignored")}
    if report.clock_mode:
        values |= _clock(report)
        for what in ("lost", "overtaken", "repeated"):
            values[f"{what} packets"] = str(getattr(report, what))
    if report.held_back:
        values[f"held back, clock not known [{unit}]"] = str(report.held_back)
    if report.hold:
        values["held back because"] = report.hold
    if report.capacity:
        values["window [samples]"] = str(report.fill)
        values["window size [samples]"] = str(report.capacity)
    for kind, count in zip(report.problem_kinds, report.problem_counts, strict=True):
        values[f"problem: {kind}"] = str(count)
    if report.oddities:
        values["odd, but used"] = ", ".join(report.oddities)
    return values | _stages(report)


def _clock(report: StreamReport) -> dict[str, str]:
    learnt = report.clock_uncertainty >= 0
    values = {
        "clock mode": report.clock_mode,
        "clock offset [s]": f"{report.clock_offset:+.6f}",
        "clock drift [ppm]": f"{report.clock_drift * 1e6:+.1f}",
        "clock uncertainty [ms]": f"{report.clock_uncertainty * 1e3:.3f}" if learnt else "learning",
        "clock steps": str(report.clock_steps),
    }
    if report.clock_lower_bound:
        values["ages"] = "lower bounds: the sender gives no send time"
    return values


def _stages(report: StreamReport) -> dict[str, str]:
    values = {}
    for timing in report.timings:
        for name in ("p50", "p95", "p99"):
            values[f"{timing.stage} {name} [ms]"] = f"{getattr(timing, name) * 1e3:.1f}"
        values[f"{timing.stage} deadline [ms]"] = f"{timing.deadline * 1e3:g}"
        values[f"{timing.stage} late"] = str(timing.misses)
        values[f"{timing.stage} in the last minute"] = str(timing.count)
    return values

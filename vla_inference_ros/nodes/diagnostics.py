"""Turns the nodes' reports into /diagnostics: one status per stream, per stage, and one for all."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from vla_inference_ros.core.health import (
    SILENT_AFTER,
    Finding,
    Level,
    State,
    expert_health,
    stream_health,
    vlm_health,
)
from vla_inference_ros.core.statistics import Summary
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes.status import Reports, age

_STATE_LEVELS = {
    State.WAIT: Level.WARN,
    State.OK: Level.OK,
    State.DEGRADED: Level.WARN,
    State.HOLD: Level.ERROR,
}


class Diagnostics:
    """Remembers the problem counts of last time, so that only new problems raise a level."""

    def __init__(self) -> None:
        self._problems: dict[tuple[str, str], dict[str, int]] = {}

    def statuses(
        self,
        reports: Reports,
        state: State,
        reason: str,
        *,
        vl_time: Summary,
        action_time: Summary,
        now: float,
    ) -> list[DiagnosticStatus]:
        """All statuses at ``now`` [Unix s]; the first is the verdict on the whole inference."""
        verdict = Finding(_STATE_LEVELS[state], f"{state.name}: {reason}" if reason else state.name)
        result = [_status("vla", "vla_inference_ros", verdict, {})]
        for report in reports.all():
            if (report.node, report.stream) == ("camera_bridge", "camera"):
                finding = self._mixed_health(report)
            else:
                finding = self._health(report, now, vl_time, action_time)
            if reports.silence(report.node, report.stream) > SILENT_AFTER:
                finding = Finding(Level.STALE, f"no report from {report.node}: has it stopped?")
            values = _values(report, now)
            if report.stream in ("vlm", "action_expert"):
                values |= _times(vl_time if report.stream == "vlm" else action_time)
            name = f"{report.node}: {report.stream}"
            result.append(_status(name, report.stream, finding, values))
        return result

    def _health(
        self, report: StreamReport, now: float, vl_time: Summary, action_time: Summary
    ) -> Finding:
        general = stream_health(report.accepted, age(report, now), self._new_problems(report))
        if general.level is not Level.OK:
            return general
        if report.stream == "vlm":
            return vlm_health(vl_time.mean)
        if report.stream == "action_expert":
            return expert_health(action_time.mean, report.fill)
        return general

    def _mixed_health(self, report: StreamReport) -> Finding:
        """Of the messages that belong to no view: only bad ones matter."""
        new = self._new_problems(report)
        if new:
            return Finding(Level.WARN, f"bad input: {', '.join(new)}")
        return Finding(Level.OK, "no bad input")

    def _new_problems(self, report: StreamReport) -> list[str]:
        counts = dict(zip(report.problem_kinds, report.problem_counts, strict=True))
        before = self._problems.get((report.node, report.stream), {})
        self._problems[report.node, report.stream] = counts
        return [kind for kind, count in counts.items() if count > before.get(kind, 0)]


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


def _values(report: StreamReport, now: float) -> dict[str, str]:
    newest = age(report, now)
    values = {
        "accepted": str(report.accepted),
        "rejected": str(report.rejected),
        "ignored": str(report.ignored),
        "rate [Hz]": f"{report.rate:.2f}",
        "age of newest [s]": f"{newest:.3f}" if newest >= 0 else "none yet",
    }
    if report.clock_offset:
        values["clock offset [s]"] = f"{report.clock_offset:+.6f}"
    if report.capacity:
        values["window"] = f"{report.fill}/{report.capacity}"
    for kind, count in zip(report.problem_kinds, report.problem_counts, strict=True):
        values[f"problem: {kind}"] = str(count)
    return values


def _times(summary: Summary) -> dict[str, str]:
    return {
        f"duration {name} [ms]": f"{getattr(summary, name) * 1e3:.1f}"
        for name in ("mean", "p50", "p95", "p99")
    }

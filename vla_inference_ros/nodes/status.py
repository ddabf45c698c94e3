"""What the monitor makes of what it has seen: the status message and its block on the console."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.bounded import BoundedTable
from vla_inference_ros.core.console import StatusBlock
from vla_inference_ros.core.health import SILENT_AFTER
from vla_inference_ros.core.printable import printable, told
from vla_inference_ros.core.source import Namesakes
from vla_inference_ros.core.statistics import SlidingStatistics
from vla_inference_ros.model.interface import MIN_SAMPLES, SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import (
    ActionChunk,
    InferenceStatus,
    RobotState,
    StageTiming,
    StreamReport,
    VLFeatures,
)
from vla_inference_ros.nodes.chunk_seams import ChunkSeams
from vla_inference_ros.nodes.stream import CALLBACKS

# The nodes without which there is no action.
_VLM, _EXPERT = ("vlm", "vlm"), ("action_expert", "action_expert")
_STAGES = (_VLM, _EXPERT)
_FORGOTTEN_AFTER = 30.0  # a node that infers nothing may have been ended on purpose [s]
_INFERRING = ("camera_bridge", "robot_bridge", "sensor_bridge", "vlm", "action_expert")
_SAVED = {"frames", "robot", "sensor", "results"}
# The streams that this package's nodes report; a rig's views may have other names.
_KNOWN = {
    "camera_bridge": {"camera", *VIEWS, CALLBACKS},
    "robot_bridge": {"robot", CALLBACKS},
    "sensor_bridge": {"sensor", CALLBACKS},
    "vlm": {"vlm", *VIEWS, CALLBACKS},
    "action_expert": {"action_expert", "sensor", CALLBACKS},
    "monitor": {CALLBACKS},
    "recorder": {*_SAVED, CALLBACKS},
    "bag_recorder": {*_SAVED, "status", CALLBACKS},
    "chunk_viewer": {"predicted", CALLBACKS},
    "web_view": {CALLBACKS},
}
_MOST_OTHERS = 64  # streams beside these
_MOST_TEXTS, _LONGEST_TEXTS = 500, 50_000  # in one report; characters of them all
_MOST_REJECTED, _MOST_STEPS = 2**64 - 1, 2**32 - 1  # that the status can hold
_PERCENTILES = ("p50", "p95", "p99")
# Where the status shows which stage of which stream.
_TIMINGS = {
    "camera_wire": ("camera_bridge", "camera", "wire to topic"),
    "robot_wire": ("robot_bridge", "robot", "wire to topic"),
    "sensor_wire": ("sensor_bridge", "sensor", "wire to topic"),
    "jpeg_decode": (*_VLM, "jpeg decode"),
    "features_age": (*_EXPERT, "features age"),
    "window_age": (*_EXPERT, "window age"),
    "tick_jitter": (*_EXPERT, "tick jitter"),
    "publish": (*_EXPERT, "publish"),
}


class Reports:
    """The newest report of each stream, by node and stream, and when it came (monotonic s). Of two
    nodes of one name that infer, only the first one's are kept, as long as it reports.
    """

    def __init__(self, *, allow_several: bool = False) -> None:
        self._nodes = Namesakes(allow_several=allow_several)
        self._of_nodes: dict[str, tuple[StreamReport, float]] = {}  # the newest of any stream
        self._known: dict[tuple[str, str], tuple[StreamReport, float]] = {}
        self._others = BoundedTable[tuple[str, str], tuple[StreamReport, float]](
            _MOST_OTHERS, SILENT_AFTER
        )

    def add(self, report: StreamReport, arrival: float) -> bool:
        """Keep a report, unless it is a stranger's; whether it was kept. ValueError if it does not
        make sense, or is one too many.
        """
        if len(report.problem_kinds) != len(report.problem_counts):
            raise ValueError(
                f"a report of {report.node!r} names {len(report.problem_kinds)} kinds of problems, "
                f"but {len(report.problem_counts)} counts"
            )
        texts = (report.node, report.stream, report.hold, *report.troubles)
        texts = (*texts, *report.problem_kinds, *report.oddities)
        if len(texts) > _MOST_TEXTS or sum(map(len, texts)) > _LONGEST_TEXTS:
            raise ValueError(
                f"a report of {report.node[:60]!r} holds more texts than one of this package's can"
            )
        if report.node in _INFERRING:
            source = self._nodes.of(report.node)
            if not source.admit(report.source_id, stands_by=report.inactive):
                return False
        if report.node in _KNOWN:
            self._of_nodes[report.node] = (report, arrival)
        if not report.stream:  # of a node that has none
            return True
        key = report.node, report.stream
        if report.stream in _KNOWN.get(report.node, ()):
            self._known[key] = (report, arrival)
        elif not self._others.put(key, (report, arrival), arrival):
            raise ValueError(
                f"a report of {report.node!r} on {report.stream!r} is one more than {_MOST_OTHERS} "
                "of streams that no node of this package has: what publishes on /vla/reports?"
            )
        return True

    def conflict(self) -> str:
        """Which of the nodes that infer report more than once, in plain words; '' if none does."""
        return self._nodes.conflict()

    def is_of_expert(self, chunk: ActionChunk) -> bool:
        """Whether a chunk is of the action expert that reports; what others publish says nothing
        of this inference.
        """
        report = self.get(*_EXPERT)
        return not self.is_silent(report) and chunk.source_id == report.source_id

    def has_expert_besides(self, source_id: int) -> bool:
        """Whether there is an action expert, and not of this source."""
        report = self.get(*_EXPERT)
        return not self.is_silent(report) and source_id != report.source_id

    def get(self, node: str, stream: str) -> StreamReport:
        """The newest report of a stream; an empty one if there is none."""
        newest = self._newest(node, stream)
        return newest[0] if newest else StreamReport()  # to make one takes its time

    def all(self) -> list[StreamReport]:
        """The newest reports, in a steady order: those of this package's streams come first."""
        return [self.get(*key) for key in (*sorted(self._known), *sorted(self._others))]

    def silence(self, node: str, stream: str) -> float:
        """Seconds since the stream was last reported; infinite if it never was."""
        newest = self._newest(node, stream)
        return time.monotonic() - newest[1] if newest else math.inf

    def _newest(self, node: str, stream: str) -> tuple[StreamReport, float] | None:
        return self._known.get((node, stream)) or self._others.get((node, stream))

    def is_silent(self, report: StreamReport) -> bool:
        """Whether nothing has been heard of the report's stream for long."""
        return self.silence(report.node, report.stream) > SILENT_AFTER

    def age(self, report: StreamReport, now: float) -> float:
        """Age [s] of a stream's newest item when it was reported, because what came later is not
        known yet; of a node that is silent, at ``now`` [Unix s]. -1 if there is no item.
        """
        newest = seconds(report.newest_stamp)
        if not newest:
            return -1.0
        if not self.is_silent(report):
            now = seconds(report.header.stamp)
        return max(0.0, now - newest)  # a sender's clock may be ahead of ours

    def hold(self, newest_chunk: float = 0.0) -> str:
        """Why the action expert holds its chunks back; '' if it does not, or is silent, or has made
        the newest chunk, for the instant ``newest_chunk`` [Unix s], since it said so.
        """
        report = self.get(*_EXPERT)
        is_over = self.is_silent(report) or seconds(report.header.stamp) < newest_chunk
        return "" if is_over else printable(report.hold)

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with which stream right now, in a steady order, each once, and no more
        than can be read.
        """
        found: dict[str, None] = {}
        for report in self.all():
            if self.is_silent(report):
                silence = self.silence(report.node, report.stream)
                is_missed = report.node in _KNOWN and silence <= _FORGOTTEN_AFTER
                if report.node in _INFERRING or is_missed:
                    found[f"{report.node} does not report: has it stopped?"] = None
            else:
                whose = report.stream
                if report.node not in _INFERRING:  # what a recorder calls "robot" is its own
                    whose = f"{report.node} {whose}"
                found |= dict.fromkeys(f"{whose}: {what}" for what in report.troubles)
        return tuple(told(list(found)))

    def lost(self, asked: Mapping[str, str]) -> tuple[str, ...]:
        """Which of the parameters that were ``asked`` for, by node and name, as in "vlm verbosity",
        a node does not know of any more.
        """
        found = []
        for key, value in sorted(asked.items()):
            node, _, name = key.partition(" ")
            report, arrival = self._of_nodes.get(node, (None, -math.inf))
            if not name or report is None or time.monotonic() - arrival > SILENT_AFTER:
                continue
            if name not in set_parameters(report):
                found.append(
                    f"{node}: parameter {name}, which was set to {value}, was lost in a restart"
                )
        return tuple(found)

    def waiting_for(self) -> list[str]:
        """What the stages lack, in plain words."""
        lacks = [node for node, stream in _STAGES if self.silence(node, stream) > SILENT_AFTER]
        views = [r.stream for r in self.all() if r.node == "vlm"]
        views = [each for each in views if each not in ("vlm", CALLBACKS)]
        missing = [view for view in views if not self.get("vlm", view).ready]
        if missing:
            lacks.append(f"images of {', '.join(missing)}")
        expert = self.get("action_expert", "action_expert")
        if not expert.ready and expert.fill < MIN_SAMPLES:
            lacks.append(f"sensor samples ({expert.fill}/{SENSOR_WINDOW})")
        return lacks


def set_parameters(report: StreamReport) -> dict[str, str]:
    """The parameters of a report's node that were set while it ran."""
    return {name: value for name, _, value in (e.partition(":=") for e in report.set_parameters)}


@dataclass(slots=True)
class Seen:
    """What the monitor has seen: the newest of each, and what the statistics are made of."""

    reports: Reports = field(default_factory=Reports)
    features: VLFeatures | None = None
    chunk: ActionChunk | None = None
    robot_state: RobotState | None = None
    vl_time: SlidingStatistics = field(default_factory=SlidingStatistics)
    action_time: SlidingStatistics = field(default_factory=SlidingStatistics)
    action_interval: SlidingStatistics = field(default_factory=SlidingStatistics)
    seams: ChunkSeams = field(default_factory=ChunkSeams)


def fill_status(status: InferenceStatus, seen: Seen, steady_now: float) -> None:
    """Fill in the counts, times and ages; ``header`` must be set."""
    now = seconds(status.header.stamp)
    reports = seen.reports
    vlm = reports.get("vlm", "vlm")
    expert = reports.get("action_expert", "action_expert")
    sensor = reports.get("sensor_bridge", "sensor")

    status.vl_updates = seen.features.update_id if seen.features else 0
    status.vl_rate = vlm.rate
    _fill_times(status, "vl_time", seen.vl_time, steady_now)
    status.vl_skipped_ticks = _problems(vlm, "skipped tick")

    status.action_rate = expert.rate
    _fill_times(status, "action_time", seen.action_time, steady_now)
    status.action_missed_ticks = _problems(expert, "missed tick")
    status.features_age = -1.0
    if seen.chunk is not None:
        chunk = seen.chunk
        status.actions = chunk.chunk_id
        status.features_age = seconds(chunk.header.stamp) - seconds(chunk.features_stamp)
        jitter = seen.action_interval.summary(steady_now, deviation_from=chunk.step_dt)
        status.action_jitter_p99 = jitter.p99
    seen.seams.fill(status, steady_now)

    for view in VIEWS:
        report = _view_report(reports, view)
        setattr(status, f"{view.lower()}_received", report.accepted)
        setattr(status, f"{view.lower()}_age", reports.age(report, now))

    status.sensor_received = sensor.accepted
    status.sensor_fill = expert.fill
    status.sensor_window = SENSOR_WINDOW
    status.sensor_age = reports.age(sensor, now)

    robot = reports.get("robot_bridge", "robot")
    status.robot_received = robot.accepted
    status.robot_age = reports.age(robot, now)
    if seen.robot_state is not None:
        for index, position in enumerate(seen.robot_state.joint_position, start=1):
            setattr(status, f"joint_{index}", float(position))
        for axis, position in zip("xyz", seen.robot_state.position, strict=True):
            setattr(status, f"position_{axis}", float(position))
    _fill_stages(status, reports)
    _fill_clocks(status, reports)
    late = status.vl_skipped_ticks + status.action_missed_ticks  # counted as trouble, but no input
    rejected = sum(report.rejected for report in reports.all()) - late
    status.rejected = min(max(0, rejected), _MOST_REJECTED)


def status_block(status: InferenceStatus, clock: str, robot_seen: bool) -> StatusBlock:
    """The block on the console, in the units that the rig's users read."""
    return StatusBlock(
        clock=clock,
        vl_updates=status.vl_updates,
        vl_mean=status.vl_time_mean,
        actions=status.actions,
        action_mean=status.action_time_mean,
        images={view: getattr(status, f"{view.lower()}_received") for view in VIEWS},
        samples=status.sensor_fill,
        window=status.sensor_window,
        joint_1=math.degrees(status.joint_1) if robot_seen else None,
        position_x=status.position_x * 1000.0 if robot_seen else None,
    )


def _view_report(reports: Reports, view: str) -> StreamReport:
    """The camera bridge counts every image; those of another driver count as the VLM takes them."""
    bridge = reports.get("camera_bridge", view)
    return bridge if bridge.accepted else reports.get("vlm", view)


def _fill_stages(status: InferenceStatus, reports: Reports) -> None:
    for prefix, stage in _TIMINGS.items():
        timing = _timing(reports, *stage)
        for name in (*_PERCENTILES, "misses"):
            setattr(status, f"{prefix}_{name}", getattr(timing, name))
    status.vl_time_misses = _timing(reports, *_VLM, "vlm").misses
    status.action_time_misses = _timing(reports, *_EXPERT, "expert").misses


def _timing(reports: Reports, node: str, stream: str, stage: str) -> StageTiming:
    timings = reports.get(node, stream).timings
    return next((timing for timing in timings if timing.stage == stage), StageTiming())


def _fill_clocks(status: InferenceStatus, reports: Reports) -> None:
    hosts = {view.lower(): ("camera_bridge", view) for view in VIEWS}
    hosts |= {"robot": ("robot_bridge", "robot"), "sensor": ("sensor_bridge", "sensor")}
    status.clock_steps = 0
    for prefix, stream in hosts.items():
        report = reports.get(*stream)
        setattr(status, f"{prefix}_clock_offset", report.clock_offset)
        setattr(status, f"{prefix}_clock_drift", report.clock_drift)
        known = report.clock_mode != ""
        setattr(status, f"{prefix}_clock_uncertainty", report.clock_uncertainty if known else -1.0)
        status.clock_steps = min(status.clock_steps + report.clock_steps, _MOST_STEPS)


def _fill_times(
    status: InferenceStatus, prefix: str, statistics: SlidingStatistics, steady_now: float
) -> None:
    summary = statistics.summary(steady_now)
    for name in ("mean", *_PERCENTILES):
        setattr(status, f"{prefix}_{name}", getattr(summary, name))


def _problems(report: StreamReport, kind: str) -> int:
    return int(dict(zip(report.problem_kinds, report.problem_counts, strict=True)).get(kind, 0))

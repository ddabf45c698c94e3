"""What the monitor makes of what it has seen: the status message and its block on the console."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.console import StatusBlock
from vla_inference_ros.core.statistics import SlidingStatistics
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import (
    ActionChunk,
    InferenceStatus,
    RobotState,
    StageTiming,
    StreamReport,
    VLFeatures,
)
from vla_inference_ros.nodes.chunk_seams import ChunkSeams
from vla_inference_ros.nodes.reports import EXPERT, VLM, Reports

_MOST_REJECTED, _MOST_STEPS = 2**64 - 1, 2**32 - 1  # that the status can hold
_PERCENTILES = ("p50", "p95", "p99")
# Where the status shows which stage of which stream.
_TIMINGS = {
    "camera_wire": ("camera_bridge", "camera", "wire to topic"),
    "robot_wire": ("robot_bridge", "robot", "wire to topic"),
    "sensor_wire": ("sensor_bridge", "sensor", "wire to topic"),
    "jpeg_decode": (*VLM, "jpeg decode"),
    "features_age": (*EXPERT, "features age"),
    "window_age": (*EXPERT, "window age"),
    "tick_jitter": (*EXPERT, "tick jitter"),
    "publish": (*EXPERT, "publish"),
}


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
    status.vl_time_misses = _timing(reports, *VLM, "vlm").misses
    status.action_time_misses = _timing(reports, *EXPERT, "expert").misses


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

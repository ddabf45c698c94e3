"""Monitor node: listens to all others; writes the console lines, the status and the diagnostics."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.core.console import ActionLine, ActionPace, vl_update_line
from vla_inference_ros.core.health import Condition, State, inference_state
from vla_inference_ros.core.printable import told
from vla_inference_ros.core.run_length import End, RunLength
from vla_inference_ros.core.source import QUIET, QUIET_NODE
from vla_inference_ros.core.tally import WarningLimiter
from vla_inference_ros.graph import NO_CHUNK
from vla_inference_ros.msg import ActionChunk, InferenceStatus, RobotState, StreamReport, VLFeatures
from vla_inference_ros.nodes import diagnostics, qos
from vla_inference_ros.nodes.console import Console
from vla_inference_ros.nodes.debug_lines import report_line
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.reports import Reports, set_parameters
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.sourced_inbox import Conflict, Copies, several_parameter
from vla_inference_ros.nodes.status import Seen, fill_status, status_block
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import VlaNode, run

_LOOK_PERIOD = 0.15  # how often the state is judged while no chunk comes [s]
_REASON_PERIOD = 0.5  # between two statuses that only the reason asks for: ages in it run [s]
_LEAST_DIAGNOSIS_PERIOD = 0.2  # between two /diagnostics that changes ask for [s]


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Parameters of the monitor."""

    status_period: float = parameter(
        2.0, "time between two status blocks and /vla/status [s]", minimum=0.1, maximum=3600.0
    )
    diagnostics_period: float = parameter(
        1.0, "time between two /diagnostics [s]", minimum=0.1, maximum=3600.0
    )
    action_line_period: float = parameter(
        0.0,
        "time between two [ACTION] lines [s]; a chunk that is DEGRADED after one that was not, or "
        "the other way round, has its line at once; 0 for a line of every chunk",
        minimum=0.0,
        maximum=3600.0,
    )
    allow_several_publishers: bool = several_parameter()
    duration: float = parameter(
        0.0,
        "end so long after the first action chunk, and with it the launch [s]; with status 69 if "
        "there is none a minute and that long after the models are loaded; 0 for never",
        minimum=0.0,
        maximum=1e9,
    )


class Monitor(VlaNode[MonitorConfig]):
    """Publishes ``/vla/status`` and ``/diagnostics`` and prints the console lines."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("monitor", MonitorConfig, **node_arguments)
        self._seen = Seen(Reports(allow_several=self.config.allow_several_publishers))
        self._limiter = WarningLimiter()
        self._console = Console(self)
        self._pace = ActionPace(self.config.action_line_period)
        self._debug = DebugRecords(self)
        self._chunk_arrival: float | None = None
        self._stranger, self._stranger_spoke = 0, -math.inf  # whose chunk is not the expert's
        self._who_acts = Conflict(self, "/vla/actions")
        self._copies = Copies(
            self, "/vla/actions", allow_several=self.config.allow_several_publishers
        )
        self._run_state = RunStateKeeper(self)
        self._began = time.monotonic()
        self._length = RunLength(self.config.duration, self._began)
        self._condition = Condition(State.WAIT)
        self._told, self._told_at = "", -math.inf  # the last status's reason, and when it was
        self._last_diagnosis = -math.inf
        self._undiagnosed = False  # what has changed since then
        self._status = self.create_publisher(InferenceStatus, "/vla/status", qos.STATUS)
        self._array = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self.create_subscription(VLFeatures, "/vla/features", self._see_features, qos.FEATURES)
        self.create_subscription(ActionChunk, "/vla/actions", self._see_chunk, qos.ACTIONS)
        self._robot_inbox = Inbox(self, RobotState, "/robot/state", qos.newest())
        self.create_subscription(StreamReport, "/vla/reports", self._see_report, qos.REPORTS)
        self._look_timer = self.create_timer(_LOOK_PERIOD, self._judge)
        self.create_timer(self.config.status_period, self._tell)
        self.create_timer(self.config.diagnostics_period, self._diagnose)

    # --- what comes in

    def _see_features(self, message: VLFeatures) -> None:
        duration = seconds(message.finished) - seconds(message.started)
        self._seen.features = message
        self._seen.vl_time.add(time.monotonic(), duration)
        self._console.say(vl_update_line(message.update_id, duration))

    def _see_chunk(self, message: ActionChunk, info: dict[str, Any]) -> None:
        now = time.monotonic()
        if not (self.config.allow_several_publishers or self._seen.reports.is_of_expert(message)):
            self._stranger, self._stranger_spoke = message.source_id, now
            # At its start the expert's first report may come after a chunk.
            is_late = now - self._began > QUIET_NODE
            if is_late and self._limiter.due("other publisher"):
                self.get_logger().warning(
                    f"chunks of a node that does not report as action_expert: {self._who_acts}; "
                    "they say nothing of this inference"
                )
            return
        if not self._copies.is_of_source(message.source_id, info):
            if self._limiter.due("other publisher"):
                self.get_logger().warning(
                    f"chunks in the action expert's name that it has not published now: "
                    f"{self._who_acts}; is a recording of this run played beside it?"
                )
            self._judge()
            return
        if self._chunk_arrival is None:
            self._length.note_chunk(now)
        else:
            self._seen.action_interval.add(now, now - self._chunk_arrival)
        self._chunk_arrival = now
        self._seen.chunk = message
        self._seen.action_time.add(now, message.inference_time)
        self._see_seam(message, now)
        if self._console.is_on:
            self._say_chunk(message, now)
        self._judge()
        self._look_timer.reset()

    def _say_chunk(self, chunk: ActionChunk, now: float) -> None:
        left_out = self._pace.see(now, chunk.validity)
        if left_out is None:
            return
        self._console.say(
            ActionLine(
                chunk_id=chunk.chunk_id,
                reuse_index=chunk.vl_reuse_index,
                reuse_limit=chunk.vl_reuse_limit,
                action=chunk.actions[: chunk.action_dim],
                duration=chunk.inference_time,
                samples=chunk.sensor_samples,
                window=chunk.sensor_window,
                reasons=chunk.reasons,
                left_out=left_out,
            )
        )

    def _see_seam(self, chunk: ActionChunk, now: float) -> None:
        try:
            self._seen.seams.add(chunk, now)
        except ValueError as error:
            if self._limiter.due("chunk"):
                self.get_logger().warning(f"{error} Its seams are not measured")

    def _see_report(self, message: StreamReport) -> None:
        try:
            if not self._seen.reports.add(message, time.monotonic()):
                return
        except ValueError as error:
            if self._limiter.due("report"):
                self.get_logger().warning(f"{error}: not used")
            return
        if message.node == "action_expert":
            self._copies.stay()
        if self._seen.reports.is_of_package(message.node):  # whoever invents nodes fills no table
            for name, value in set_parameters(message).items():
                self._run_state.ask(f"{message.node} {name}", value)
        if message.stream:
            self._debug.say(lambda: report_line(message))
        if (message.node, message.stream) == ("action_expert", "action_expert"):
            self._judge()

    # --- what goes out

    def _judge(self) -> None:
        """Publish the status at once when the state or the troubles have changed, and soon when the
        reason has.
        """
        since = None if self._chunk_arrival is None else time.monotonic() - self._chunk_arrival
        chunk = self._seen.chunk or ActionChunk()
        state, reason = inference_state(
            since_chunk=since,
            period=chunk.step_dt,
            reasons=told(chunk.reasons),
            waiting_for=self._seen.reports.waiting_for(),
            hold=self._seen.reports.hold(seconds(chunk.header.stamp)),
            conflict=self._conflict(),
        )
        before = self._condition
        reports = self._seen.reports
        troubles = (*reports.troubles(), *reports.lost(self._run_state.values))
        self._condition = Condition(state, reason, troubles)
        changed = (state, self._condition.troubles) != (before.state, before.troubles)
        self._undiagnosed |= changed
        if changed or (reason != self._told and time.monotonic() - self._told_at > _REASON_PERIOD):
            self._publish_status()
        if self._undiagnosed and time.monotonic() - self._last_diagnosis > _LEAST_DIAGNOSIS_PERIOD:
            self._diagnose()
        self._end_in_time()

    def _end_in_time(self) -> None:
        if self._seen.reports.are_models_loaded():
            self._length.note_loaded(time.monotonic())
        end = self._length.end(time.monotonic())
        if end is End.OVER and not self.finished:
            self.get_logger().info(f"duration of {self.config.duration:g} s is over")
        self.finished = self.finished or end is not End.NOT_YET

    def release(self) -> None:
        """Say it if the run was to have a length, and never began."""
        if self._length.lacks_chunk:
            self.get_logger().fatal(
                f"no action chunk has come, so the duration of {self.config.duration:g} s has not "
                f"begun: {self._condition}"
            )
            self.exit_status = NO_CHUNK

    def _conflict(self) -> str:
        """What is there more than once, in plain words; '' if nothing is."""
        if conflict := self._seen.reports.conflict():
            return conflict
        speaks = time.monotonic() - self._stranger_spoke <= QUIET
        is_besides = speaks and self._seen.reports.has_expert_besides(self._stranger)
        if is_besides or self._copies.are_heard():
            return str(self._who_acts)
        return ""

    def _tell(self) -> None:
        self._judge()
        status = self._publish_status()
        clock = time.strftime("%H:%M:%S", time.localtime(self.now()))
        self._console.say(status_block(status, clock, self._seen.robot_state is not None))

    def _publish_status(self) -> InferenceStatus:
        self._told, self._told_at = self._condition.reason, time.monotonic()
        self._seen.robot_state = self._robot_inbox.newest() or self._seen.robot_state
        status = InferenceStatus(
            header=header(self.now()),
            state=int(self._condition.state),
            reason=self._condition.reason,
            troubles=list(self._condition.troubles),
            source_id=self.source_id,
        )
        fill_status(status, self._seen, time.monotonic())
        self._status.publish(status)
        return status

    def _diagnose(self) -> None:
        now = self.now()
        self._last_diagnosis, self._undiagnosed = time.monotonic(), False
        array = DiagnosticArray(header=header(now))
        array.status = diagnostics.statuses(
            self._seen.reports,
            self._condition,
            vl_time=self._seen.vl_time.summary(time.monotonic()),
            action_time=self._seen.action_time.summary(time.monotonic()),
            now=now,
        )
        self._array.publish(array)


def main() -> int:
    """Run the node."""
    for stream in (sys.stdout, sys.stderr):  # the lines are UTF-8 whatever the locale
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    return run(Monitor)

"""Monitor node: listens to all others; writes the console lines, the status and the diagnostics."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.core.console import ActionLine, vl_update_line
from vla_inference_ros.core.health import State, inference_state
from vla_inference_ros.core.tally import WarningLimiter
from vla_inference_ros.msg import ActionChunk, InferenceStatus, RobotState, StreamReport, VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.diagnostics import Diagnostics
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.status import Seen, fill_status, status_block
from vla_inference_ros.nodes.vla_node import VlaNode, run

_LOOK_PERIOD = 0.1  # how often the state is judged [s]
_START_TIME = 60.0  # the duration counts from here on even if there is no action chunk [s]


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Parameters of the monitor."""

    status_period: float = parameter(
        2.0, "time between two status blocks and /vla/status [s]", minimum=0.1, maximum=3600.0
    )
    diagnostics_period: float = parameter(
        1.0, "time between two /diagnostics [s]", minimum=0.1, maximum=3600.0
    )
    duration: float = parameter(
        0.0,
        "end so long after the first action chunk, and with it the launch [s]; 0 for never",
        minimum=0.0,
        maximum=1e9,
    )


class Monitor(VlaNode[MonitorConfig]):
    """Publishes ``/vla/status`` and ``/diagnostics`` and prints the console lines."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("monitor", MonitorConfig, **node_arguments)
        self._seen = Seen()
        self._limiter = WarningLimiter()
        self._chunk_arrival: float | None = None
        self._start = time.monotonic() + _START_TIME
        self._diagnostics = Diagnostics()
        self._state: tuple[State, str] = (State.WAIT, "")
        self._status = self.create_publisher(InferenceStatus, "/vla/status", qos.STATUS)
        self._array = self.create_publisher(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
        self.create_subscription(VLFeatures, "/vla/features", self._see_features, qos.FEATURES)
        self.create_subscription(ActionChunk, "/vla/actions", self._see_chunk, qos.ACTIONS)
        self._robot_inbox = Inbox(self, RobotState, "/robot/state", qos.newest())
        self.create_subscription(StreamReport, "/vla/reports", self._see_report, qos.REPORTS)
        self.create_timer(_LOOK_PERIOD, self._judge)
        self.create_timer(self.config.status_period, self._tell)
        self.create_timer(self.config.diagnostics_period, self._diagnose)

    # --- what comes in

    def _see_features(self, message: VLFeatures) -> None:
        duration = seconds(message.finished) - seconds(message.started)
        self._seen.features = message
        self._seen.vl_time.add(time.monotonic(), duration)
        print(vl_update_line(message.update_id, duration), flush=True)

    def _see_chunk(self, message: ActionChunk) -> None:
        now = time.monotonic()
        if self._chunk_arrival is None:
            self._start = min(self._start, now)
        else:
            self._seen.action_interval.add(now, now - self._chunk_arrival)
        self._chunk_arrival = now
        self._seen.chunk = message
        self._seen.action_time.add(now, message.inference_time)
        line = ActionLine(
            chunk_id=message.chunk_id,
            reuse_index=message.vl_reuse_index,
            reuse_limit=message.vl_reuse_limit,
            action=message.actions[: message.action_dim],
            duration=message.inference_time,
            samples=message.sensor_samples,
            window=message.sensor_window,
            reasons=message.reasons,
        )
        print(line, flush=True)
        self._judge()

    def _see_report(self, message: StreamReport) -> None:
        try:
            self._seen.reports.add(message, time.monotonic())
        except ValueError as error:
            if self._limiter.due("report"):
                self.get_logger().warning(f"{error}: not used")
            return
        if (message.node, message.stream) == ("action_expert", "action_expert"):
            self._judge()

    # --- what goes out

    def _judge(self) -> None:
        """Publish the status at once when the state has changed."""
        since = None if self._chunk_arrival is None else time.monotonic() - self._chunk_arrival
        state, reason = inference_state(
            since_chunk=since,
            period=self._seen.chunk.step_dt if self._seen.chunk else 0.0,
            reasons=self._seen.chunk.reasons if self._seen.chunk else [],
            waiting_for=self._seen.reports.waiting_for(),
            hold=self._seen.reports.hold(),
        )
        changed = state is not self._state[0]
        self._state = (state, reason)
        if changed:
            self._publish_status()
        if self.config.duration and time.monotonic() - self._start >= self.config.duration:
            self.get_logger().info(f"duration of {self.config.duration:g} s is over")
            self.finished = True

    def _tell(self) -> None:
        self._judge()
        status = self._publish_status()
        clock = time.strftime("%H:%M:%S", time.localtime(self.now()))
        print(status_block(status, clock, self._seen.robot_state is not None), flush=True)

    def _publish_status(self) -> InferenceStatus:
        state, reason = self._state
        self._seen.robot_state = self._robot_inbox.newest() or self._seen.robot_state
        status = InferenceStatus(header=header(self.now()), state=int(state), reason=reason)
        fill_status(status, self._seen, time.monotonic())
        self._status.publish(status)
        return status

    def _diagnose(self) -> None:
        now = self.now()
        array = DiagnosticArray(header=header(now))
        array.status = self._diagnostics.statuses(
            self._seen.reports,
            *self._state,
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

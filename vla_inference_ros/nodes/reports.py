"""The nodes' newest reports of their streams, and what they say: what is wrong, silent, or lost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.bounded import BoundedTable
from vla_inference_ros.core.health import SILENT_AFTER
from vla_inference_ros.core.printable import printable, told
from vla_inference_ros.core.source import Namesakes
from vla_inference_ros.model.interface import MIN_SAMPLES, SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import ActionChunk, StreamReport
from vla_inference_ros.nodes.stream import CALLBACKS

# The nodes without which there is no action.
VLM, EXPERT = ("vlm", "vlm"), ("action_expert", "action_expert")
_STAGES = (VLM, EXPERT)
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
        texts = (*texts, *report.problem_kinds, *report.oddities, *report.set_parameters)
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
        report = self.get(*EXPERT)
        return not self.is_silent(report) and chunk.source_id == report.source_id

    def has_expert_besides(self, source_id: int) -> bool:
        """Whether there is an action expert, and not of this source."""
        report = self.get(*EXPERT)
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
        report = self.get(*EXPERT)
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
        a node does not know of any more; no more than can be read.
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
        return tuple(told(found))

    def is_of_package(self, node: str) -> bool:
        """Whether a node of this name is one of this package's that runs with the inference: only
        of these can be told what they have lost.
        """
        return node in _KNOWN

    def are_models_loaded(self) -> bool:
        """Whether all stages run: before its model is loaded, none reports that it works."""
        stages = [self.get(*stage) for stage in _STAGES]
        return not any(self.is_silent(stage) or stage.inactive for stage in stages)

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

"""What the live view hears, and what it makes of it: ROS messages in, the board's values out.

Small topics are read always. Pictures and samples, the bulk of the traffic, are subscribed to only
while somebody watches, and without confirmation: a reader at low priority must not have a bridge
send anything again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from rcl_interfaces.msg import Log
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, SensorBatch, StreamReport
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.console import is_console_line
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.reports import Reports
from vla_inference_ros.nodes.vla_node import VlaNode
from vla_inference_ros.web.board import Board, Chunk, Force, LogLine
from vla_inference_ros.web.picture import small_picture

_ACTIONS = QoSProfile(depth=100)  # some seconds of them
_LOG = QoSProfile(depth=200, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # also from before
_SAMPLES = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)  # two seconds
# Whose report tells of an input, the first that has taken something.
_REPORTERS = {
    **{view: (("camera_bridge", view), ("vlm", view)) for view in VIEWS},
    "camera": (("camera_bridge", "camera"),),
    "robot": (("robot_bridge", "robot"),),
    "sensor": (("sensor_bridge", "sensor"),),
    "vlm": (("vlm", "vlm"),),
    "action_expert": (("action_expert", "action_expert"),),
}


class WatchedTopics:
    """For the executor's thread."""

    def __init__(self, node: VlaNode[Any], board: Board, image_topics: Mapping[str, str]) -> None:
        """``image_topics`` is the compressed topic of each view that has one."""
        self._node, self._board, self._image_topics = node, board, image_topics
        self._reports = Reports()
        self._status = Inbox[InferenceStatus](node, InferenceStatus, "/vla/status", qos.STATUS)
        self._chunks = Inbox[ActionChunk](node, ActionChunk, "/vla/actions", _ACTIONS)
        self._report_inbox = Inbox[StreamReport](node, StreamReport, "/vla/reports", qos.REPORTS)
        self._log = Inbox[Log](node, Log, "/rosout", _LOG)
        self._images: dict[str, Inbox[Any]] = {}
        self._samples: Inbox[Any] | None = None

    def look(self, steady_now: float) -> None:
        """Post what has come of the small topics."""
        status = self._status.newest()
        if status is not None:
            self._board.post_status(status_values(status))
        elif self._board.status_is_late():
            self._board.explain_silence(self._status.why_silent())
        for chunk in self._chunks.take():
            if fits(chunk):
                self._board.post_chunk(board_chunk(chunk))
        # The console lines would push out all others, and the page shows what they say by itself.
        lines = [log_line(message) for message in self._log.take() if not is_console_line(message)]
        for line in sorted(lines, key=lambda line: line.stamp):  # those from before come by node
            self._board.post_line(line)
        for report in self._report_inbox.take():
            with suppress(ValueError):  # the monitor warns of it
                self._reports.add(report, steady_now)
        self._board.post_inputs(
            {name: self._input(streams) for name, streams in _REPORTERS.items()}
        )

    def watch(self) -> None:
        """Subscribe to pictures and samples."""
        self._samples = Inbox[Any](self._node, SensorBatch, "/sensor/samples", _SAMPLES)
        profile = qos.newest_image("best_effort")
        self._images = {
            view: Inbox[Any](self._node, CompressedImage, topic, profile)
            for view, topic in self._image_topics.items()
        }

    def rest(self) -> None:
        """Give the subscriptions up."""
        for inbox in (*self._images.values(), *([self._samples] if self._samples else [])):
            inbox.close()
        self._images, self._samples = {}, None
        self._board.forget_pictures()

    def look_at_samples(self) -> None:
        """Post the force of the samples that have come."""
        batches = self._samples.take() if self._samples else []
        force = force_of(batches)
        if force is not None:
            self._board.post_force(force)

    def look_at_pictures(self) -> None:
        """Decode and post the newest picture of each view."""
        for view, inbox in self._images.items():
            message = inbox.newest()
            if message is None:
                continue
            stamp = seconds(message.header.stamp)
            try:
                jpeg = small_picture(message.data.tobytes())
            except ValueError as error:
                self._board.post_bad_picture(view, stamp, str(error))
            else:
                self._board.post_picture(view, stamp, jpeg)

    def _input(self, streams: Sequence[tuple[str, str]]) -> dict[str, Any]:
        """The newest report of an input; without a rate where its node is silent."""
        reports = [self._reports.get(*stream) for stream in streams]
        report = next((each for each in reports if each.accepted), reports[0])
        silent = self._reports.is_silent(report)
        return {
            "rate": None if silent else report.rate,
            "problems": dict(zip(report.problem_kinds, report.problem_counts, strict=True)),
        }


def status_values(status: InferenceStatus) -> dict[str, Any]:
    """All fields but the header, by name, SI units; ``stamp`` [Unix s]."""
    names = [name for name in status.get_fields_and_field_types() if name != "header"]
    values = {name: getattr(status, name) for name in names}
    return {"stamp": seconds(status.header.stamp), **values}


def fits(chunk: ActionChunk) -> bool:
    """Whether there are steps, and as many numbers as they need."""
    return len(chunk.actions) == chunk.horizon * chunk.action_dim > 0


def board_chunk(message: ActionChunk) -> Chunk:
    """A chunk that :func:`fits`; dimensions without a name are numbered."""
    width = message.action_dim
    names = [f"action {number}" for number in range(1, width + 1)]
    names[: len(message.action_names)] = message.action_names
    actions = list(message.actions)
    return Chunk(
        chunk_id=message.chunk_id,
        stamp=seconds(message.header.stamp),
        step_dt=message.step_dt,
        names=names[:width],
        steps=[actions[at : at + width] for at in range(0, len(actions), width)],
        valid_steps=message.valid_steps,
        ok=message.validity == ActionChunk.OK,
        reuse_index=message.vl_reuse_index,
        reuse_limit=message.vl_reuse_limit,
        instruction=message.instruction,
        model_id=message.model_id,
        features_model_id=message.features_model_id,
    )


def force_of(batches: Sequence[SensorBatch]) -> Force | None:
    """Least, most and newest force of some datagrams, oldest first; None if there is none."""
    forces = [np.frombuffer(batch.force, np.float32) for batch in batches if batch.force]
    if not forces:
        return None
    force = np.concatenate(forces)
    force = force[np.isfinite(force)]
    if not force.size:
        return None
    stamp = seconds(batches[-1].header.stamp)
    return Force(stamp, float(force.min()), float(force.max()), float(force[-1]))


def log_line(message: Log) -> LogLine:
    """A line of /rosout."""
    return LogLine(seconds(message.stamp), int(message.level), message.name, message.msg)

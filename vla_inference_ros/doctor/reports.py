"""What the bridges of a run that goes on say of their streams, and how large their pictures are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.clock import ClockReading
from vla_inference_ros.core.jpeg import JpegError, jpeg_size
from vla_inference_ros.doctor.heard import Heard, troubles_of
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes import qos


@dataclass(frozen=True, slots=True)
class Picture:
    """A view's: its size in bytes and pixels."""

    size: int = 0
    width: int = 0
    height: int = 0


class ReportWatch:
    """Collects the reports of all nodes, and one picture of each of the ``views``."""

    def __init__(self, node: Node, views: Sequence[str]) -> None:
        self._node = node
        self._reports: dict[tuple[str, str], list[StreamReport]] = {}
        self._pictures: dict[str, Picture] = {}
        self._waiting = {
            view: node.create_subscription(
                CompressedImage,
                f"/camera/{view.lower()}/image_raw/compressed",
                lambda message, view=view: self._see(view, message),
                qos.newest_image("reliable"),
            )
            for view in views
        }
        node.create_subscription(StreamReport, "/vla/reports", self._hear, qos.REPORTS)

    def streams(self, span: float) -> dict[tuple[str, str], Heard]:
        """What was reported within ``span`` seconds, by node and stream."""
        return {
            key: _heard(reports, span, self._pictures.get(key[1], Picture()))
            for key, reports in self._reports.items()
        }

    def _hear(self, report: StreamReport) -> None:
        if len(report.problem_kinds) == len(report.problem_counts):
            self._reports.setdefault((report.node, report.stream), []).append(report)

    def _see(self, view: str, message: CompressedImage) -> None:
        subscription = self._waiting.pop(view, None)
        if subscription is None:
            return
        self._node.destroy_subscription(subscription)  # one picture says enough
        data = bytes(message.data)
        try:
            self._pictures[view] = Picture(len(data), *jpeg_size(data))
        except JpegError:  # another node's, which may be a PNG
            self._pictures[view] = Picture(len(data))


def _heard(reports: Sequence[StreamReport], span: float, picture: Picture) -> Heard:
    first, last = reports[0], reports[-1]
    before = dict(zip(first.problem_kinds, first.problem_counts, strict=True))
    counts = zip(last.problem_kinds, last.problem_counts, strict=True)
    new = [count - before.get(kind, 0) for kind, count in counts]
    return Heard(
        seconds=span,
        packets=last.accepted if last.rate > 0 else 0,
        rate=last.rate,
        size=float(picture.size),
        width=picture.width,
        height=picture.height,
        age=min(map(_age, reports)),
        troubles=troubles_of(last.problem_kinds, new),
        clock=_clock(first, last) if last.clock_mode and last.accepted else None,
    )


def _clock(first: StreamReport, last: StreamReport) -> ClockReading:
    """The newest reading, with the steps since the first report."""
    return ClockReading(
        mode=last.clock_mode,
        offset=last.clock_offset,
        drift=last.clock_drift,
        uncertainty=last.clock_uncertainty,
        calibrated=last.clock_uncertainty >= 0,
        steps=max(0, last.clock_steps - first.clock_steps),  # another sender's begin at 0
        lower_bound=last.clock_lower_bound,
    )


def _age(report: StreamReport) -> float:
    """Of the newest item when it came [s], at least; infinite if there is none. By the time of the
    report it may have waited for the next one for as long as a period.
    """
    newest = seconds(report.newest_stamp)
    if not newest or report.rate <= 0:
        return math.inf
    return max(0.0, seconds(report.header.stamp) - newest - 1 / report.rate)

"""Reports of nodes that are not there, and what the monitor makes of them."""

from __future__ import annotations

import time
from array import array
from typing import Any

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.statistics import SlidingStatistics
from vla_inference_ros.msg import InferenceStatus, StreamReport
from vla_inference_ros.nodes.reports import Reports
from vla_inference_ros.nodes.status import Seen, fill_status

NOW = 1_700_000_000.0
STEADY = 1000.0


def report(
    node: str,
    stream: str,
    *,
    at: float = NOW,
    newest: float = 0.0,
    problems: dict[str, int] | None = None,
    **fields: Any,
) -> StreamReport:
    """A report made at ``at``, with the newest item's time."""
    problems = problems or {}
    return StreamReport(
        header=header(at),
        node=node,
        stream=stream,
        newest_stamp=time_message(newest),
        rejected=sum(problems.values()),
        problem_kinds=list(problems),
        problem_counts=array("Q", problems.values()),
        **fields,
    )


def reports_of(*reports: StreamReport, silent_for: float = 0.0) -> Reports:
    """All arrived ``silent_for`` seconds ago."""
    collected = Reports()
    for one in reports:
        collected.add(one, time.monotonic() - silent_for)
    return collected


def seen_of(*reports: StreamReport, **attributes: Any) -> Seen:
    """Nothing seen but these reports, and what ``attributes`` say."""
    return Seen(reports=reports_of(*reports), **attributes)


def status_of(seen: Seen) -> InferenceStatus:
    status = InferenceStatus(header=header(NOW))
    fill_status(status, seen, STEADY)
    return status


def statistics(*values: float) -> SlidingStatistics:
    made = SlidingStatistics()
    for value in values:
        made.add(STEADY, value)
    return made

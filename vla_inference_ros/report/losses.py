"""The part of the page that tells what did not arrive."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np

from vla_inference_ros.report.analysis import Analysis
from vla_inference_ros.report.axes import RED, TimeAxis
from vla_inference_ros.report.content import Content
from vla_inference_ros.report.figures import lines, timeline
from vla_inference_ros.report.page import Piece, note, section, table
from vla_inference_ros.report.text import milliseconds, number

_HEADINGS = (
    "stream",
    "received",
    "rate [1/s]",
    "period [ms]",
    "missing",
    "share",
    "gaps",
    "longest [ms]",
    "duplicates",
    "out of order",
    "unchanged",
    "clock set",
)
_TEXT = (
    "By the senders' own times. The sensor's period is nominal, that of other streams the median "
    "interval; from 1.5 periods without anything on, something is missing. Duplicates came twice "
    "with the same time and content, unchanged pictures equal the one before. Where a sender's "
    "clock was set, nothing is counted as missing."
)


def losses(content: Content, analysis: Analysis, axis: TimeAxis) -> Element:
    """Of each stream, and of the sensor windows that chunks were made from."""
    title = "Losses"
    if not analysis.rhythms:
        return section(title, note("No cameras, robot or sensor were recorded."))
    rows: list[tuple[Piece, ...]] = []
    for name, rhythm in analysis.rhythms.items():
        share = rhythm.missing / rhythm.expected if rhythm.expected else float("nan")
        unchanged = analysis.unchanged.get(name)
        rows.append(
            (
                name,
                f"{rhythm.count:,}",
                number(analysis.rate(name)),
                number(1000.0 * rhythm.period, 3),
                f"{rhythm.missing:,}",
                f"{share:.2%}" if np.isfinite(share) else "–",
                f"{len(rhythm.gap_starts):,}",
                milliseconds(rhythm.longest),
                f"{rhythm.duplicates:,}",
                f"{rhythm.reordered:,}",
                "" if unchanged is None else f"{unchanged:,}",
                f"{rhythm.clock_steps:,}",
            )
        )
    marks = [
        (name, rhythm.gap_starts, rhythm.gap_lengths, RED)
        for name, rhythm in analysis.rhythms.items()
    ]
    drawn = timeline("losses", "Where each stream has gaps", axis, marks)
    return section(
        title,
        note(_TEXT),
        table(_HEADINGS, rows, name="losses"),
        drawn,
        *_windows(content, axis),
    )


def _windows(content: Content, axis: TimeAxis) -> list[Element]:
    chunks = content.chunks
    if chunks is None or not np.isfinite(chunks.rows["sensor_missing"]).any():
        return [note("No chunk says how full its sensor window was.")]
    missing = chunks.rows["sensor_missing"]
    if not (missing > 0).any():
        return [note("Every chunk's sensor window was full.")]
    text = f"{int((missing > 0).sum()):,} of {len(missing):,} chunks had a window with slots empty."
    series = {"samples missing in the sensor window of each chunk": (chunks.rows["stamp"], missing)}
    label = "Samples missing in the sensor windows over time"
    return [note(text), lines("windows", label, axis, series, 1)]

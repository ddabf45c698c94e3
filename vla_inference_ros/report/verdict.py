"""The part of the page that tells which chunks were OK, and where there are none."""

from __future__ import annotations

from collections import Counter
from xml.etree.ElementTree import Element

import numpy as np

from vla_inference_ros.report.analysis import Analysis
from vla_inference_ros.report.axes import BLUE, GREEN, ORANGE, PURPLE, RED, TimeAxis
from vla_inference_ros.report.chunks import Chunks, kind_of
from vla_inference_ros.report.content import Content
from vla_inference_ros.report.figures import timeline
from vla_inference_ros.report.page import Piece, element, note, section, table, value
from vla_inference_ros.report.sections import NO_CHUNKS
from vla_inference_ros.report.text import counted, duration

_MOST_REASONS = 12  # kinds that are listed; half of them also over time
_MOST_GAPS = 20  # that are listed
_MOST_SAID = 3  # kinds of reasons why there was no chunk yet


def verdict(content: Content, analysis: Analysis, axis: TimeAxis) -> Element:
    """Which chunks were OK, and why others were not."""
    title = "Action chunks"
    chunks = content.chunks
    if chunks is None:
        why = _why(content, axis.end)
        return section(title, note(f"{NO_CHUNKS} The monitor said: {why}." if why else NO_CHUNKS))
    stamps = chunks.rows["stamp"]
    period = np.full(len(stamps), chunks.period if np.isfinite(chunks.period) else 0.0)
    gap_starts = np.array([gap.start for gap in analysis.gaps])
    gap_lengths = np.array([gap.length for gap in analysis.gaps])
    rows = []
    for name, code, colour in (("OK", 0, GREEN), ("DEGRADED", 1, ORANGE), ("no verdict", -1, BLUE)):
        having = chunks.rows["verdict"] == code
        if having.any() or code != -1:
            rows.append((name, stamps[having], period[having], colour))
    rows.append(("no chunks", gap_starts, gap_lengths, RED))
    reasons = sorted(chunks.reasons.items(), key=lambda item: -len(item[1].chunks))
    for kind, reason in reasons[: _MOST_REASONS // 2]:
        having = np.array(reason.chunks, np.intp)
        rows.append((kind, stamps[having], period[having], PURPLE))
    why = _why(content, float(stamps[0]))
    pieces = [
        timeline("verdict", "Verdict on the action chunks over time", axis, rows),
        note(
            f"The first chunk is for {duration(float(stamps[0]) - axis.start)} after the start"
            f"{f' (until then: {why})' if why else ''}, "
            f"the last one for {duration(max(0.0, axis.end - float(stamps[-1])))} before the end."
        ),
    ]
    if chunks.odd:
        left_out = counted(chunks.odd, "chunk")
        why = "without a usable time, or with actions of another shape than the others"
        pieces.append(note(f"Left out: {left_out} {why}."))
    return section(title, *pieces, *_reasons(chunks), *_gaps(analysis, axis))


def _why(content: Content, until: float) -> str:
    """What the monitor said last until a time [Unix s] of why there was no chunk."""
    said = [kind_of(hold.reason) for hold in content.holds if hold.stamp <= until and hold.reason]
    last = list(dict.fromkeys(reversed(said)))[:_MOST_SAID]
    return "; ".join(reversed(last))


def _reasons(chunks: Chunks) -> list[Element]:
    reasons = sorted(chunks.reasons.items(), key=lambda item: -len(item[1].chunks))
    if not reasons:
        return []
    rows: list[tuple[Piece, ...]] = [
        (kind, reason.example, f"{len(reason.chunks):,}") for kind, reason in reasons
    ]
    shown = table(
        ("reason", "as it first read", "chunks"), rows[:_MOST_REASONS], texts=2, name="reasons"
    )
    more = len(rows) - _MOST_REASONS
    return [shown, *([note(f"and {more} more kinds of reasons")] if more > 0 else [])]


def _gaps(analysis: Analysis, axis: TimeAxis) -> list[Element]:
    if not analysis.gaps:
        return [element("p", "No gaps: a chunk came at every tick from the first to the last.")]
    longest = sorted(analysis.gaps, key=lambda gap: -gap.length)[:_MOST_GAPS]
    rows = [
        (gap.cause, duration(gap.start - axis.start), duration(gap.length), f"{gap.missing:,}")
        for gap in longest
    ]
    missing = sum(gap.missing for gap in analysis.gaps)
    where = counted(len(analysis.gaps), "gap")
    text = f" missing in {where}; why, and the longest of them:"
    return [
        element("p", value("gaps.missing", f"{missing:,}"), " chunks", text),
        table(("why", "gaps", "chunks missing"), _causes(analysis), name="causes"),
        table(("why", "after", "length", "chunks missing"), rows, name="gaps"),
    ]


def _causes(analysis: Analysis) -> list[tuple[str, str, str]]:
    """How many gaps, and chunks missing in them, have each cause."""
    gaps: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for gap in analysis.gaps:
        gaps[kind_of(gap.cause)] += 1
        missing[kind_of(gap.cause)] += gap.missing
    found = gaps.most_common(_MOST_REASONS)
    return [(cause, f"{count:,}", f"{missing[cause]:,}") for cause, count in found]

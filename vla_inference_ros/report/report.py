"""Makes the report: one page that needs nothing but itself."""

from __future__ import annotations

from vla_inference_ros.recording.recording import Recording
from vla_inference_ros.report import sections
from vla_inference_ros.report.analysis import analyse
from vla_inference_ros.report.axes import TimeAxis
from vla_inference_ros.report.content import Content, read
from vla_inference_ros.report.losses import losses
from vla_inference_ros.report.page import document, element, note
from vla_inference_ros.report.summary import facts, files, tiles
from vla_inference_ros.report.text import plain
from vla_inference_ros.report.verdict import verdict


def report(recording: Recording) -> bytes:
    """The page about a recording, HTML in UTF-8; RecordingError if the recording is damaged."""
    return page_of(read(recording))


def page_of(content: Content) -> bytes:
    """The same, of what was read of it."""
    title = plain(f"Run report: {content.path.resolve().name}")
    heading = element("header", element("h1", title))
    if content.unfinished:
        text = (
            "This bag was not finished; vla-recover can do that. What is told here is all it has."
        )
        heading.append(note(text))
    heading.extend(note(plain(line)) for line in content.left_out)
    analysis = analyse(content)
    if analysis is None:
        empty = note("This recording is empty: nothing was received, and no action chunk was made.")
        return document(title, heading, empty, files(content.path))
    axis = TimeAxis(analysis.start, analysis.end)
    return document(
        title,
        heading,
        facts(content, analysis),
        tiles(content, analysis),
        verdict(content, analysis, axis),
        sections.pictures(content, axis),
        sections.actions(content, axis),
        sections.seams(content, analysis, axis),
        sections.force(content, axis),
        sections.robot(content, axis),
        sections.ages(content, axis),
        sections.rates(content, analysis, axis),
        sections.latencies(content, analysis),
        losses(content, analysis, axis),
        files(content.path),
    )

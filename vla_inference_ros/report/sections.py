"""The parts of the page below its head, each a heading with plots, tables and plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from vla_inference_ros.core.validity import Budgets
from vla_inference_ros.report.analysis import ROBOT, SENSOR, Analysis
from vla_inference_ros.report.axes import TimeAxis
from vla_inference_ros.report.content import Content
from vla_inference_ros.report.figures import (
    AgeGroups,
    action_plot,
    age_plot,
    histograms,
    lines,
    rate_plot,
    seam_plot,
)
from vla_inference_ros.report.page import Piece, note, picture, section, table
from vla_inference_ros.report.reduce import Distribution
from vla_inference_ros.report.seams import Seams
from vla_inference_ros.report.text import duration, milliseconds, number
from vla_inference_ros.report.thumbnails import small_jpeg

_MOMENTS = 6  # that pictures are shown of
_LEAST_JERK = 0.01  # that a plot reaches up to [1/s^3]
_PICTURE = 240  # the most pixels of their width and height
NO_CHUNKS = "No action chunks were recorded."
_POSE = ("x [mm]", "y [mm]", "z [mm]", "alpha [deg]", "beta [deg]", "gamma [deg]")


def pictures(content: Content, axis: TimeAxis) -> Element:
    """What the cameras saw at a few moments."""
    title = "Pictures"
    moments = content.thumbnails.moments(_MOMENTS)
    if not moments:
        return section(title, note("No pictures were recorded."))
    views = sorted({view for moment in moments for view in moment})
    times = [min(time for time, _ in moment.values()) - axis.start for moment in moments]
    rows: list[list[Piece]] = []
    for view in views:
        cells: list[Piece] = [view]
        for moment, since in zip(moments, times, strict=True):
            label = f"{view} after {duration(since)}"
            small = small_jpeg(moment[view][1], _PICTURE) if view in moment else b""
            if small:
                cells.append(picture(small, label))
            else:
                cells.append("no picture" if small == b"" else "cannot be decoded")
        rows.append(cells)
    shown = table(("view", *map(duration, times)), rows, name="pictures")
    shown[0].set("class", "pictures")
    return section(title, shown)


def rates(content: Content, analysis: Analysis, axis: TimeAxis) -> Element:
    """How often things came."""
    groups = {}
    if content.views:
        groups["pictures"] = {view: rows["received"] for view, rows in content.views.items()}
    for name, title in ((SENSOR, "sensor samples"), (ROBOT, "robot states")):
        if name in analysis.streams:
            groups[title] = {title: analysis.streams[name]["received"]}
    stages = {}
    if content.chunks is not None:
        stages["action chunks"] = content.chunks.rows["stamp"]
    if len(analysis.update_times):
        stages["VLM updates"] = analysis.update_times
    if stages:
        groups[" and ".join(stages)] = stages
    pieces: list[Element] = [rate_plot("rates", "Rates over time", axis, groups)]
    if not len(content.updates) and len(analysis.update_times):
        text = (
            "The recording has no VLM updates of its own (a run folder holds none): they are "
            "counted when the first chunk was made with them."
        )
        pieces.append(note(text))
    return section("Rates", *pieces)


def ages(content: Content, axis: TimeAxis) -> Element:
    """How old a chunk's inputs were at the instant that its step 0 is for."""
    title = "Ages of the inputs"
    chunks = content.chunks
    if chunks is None:
        return section(title, note(f"{NO_CHUNKS} Ages are told by them."))
    budgets = Budgets()
    groups: AgeGroups = {}
    for what, budget in (
        ("features", budgets.features),
        ("sensor", budgets.sensor),
        ("robot", budgets.robot),
    ):
        values = chunks.rows[f"{what}_age"]
        if np.isfinite(values).any():
            groups[f"{what} age"] = ({f"{what} age": values}, budget)
    if chunks.view_ages:
        groups["picture age"] = (chunks.view_ages, None)
    if not groups:
        return section(title, note("The chunks do not say how old their inputs were."))
    text = (
        "From acquisition to the instant that a chunk's step 0 is for. The dashed limits are the "
        "defaults (config/async.yaml); a recording does not tell which ones it was made with."
    )
    label = "Ages of the inputs at each action chunk"
    return section(title, note(text), age_plot("ages", label, axis, chunks.rows["stamp"], groups))


def latencies(content: Content, analysis: Analysis) -> Element:
    """How long things took, and how evenly."""
    title = "Latencies and jitter"
    found = analysis.latencies
    if not found:
        return section(title, note("Nothing was recorded that has a latency."))
    rows = []
    for what, values in found.items():
        has = Distribution.of(values)
        times = (has.mean, has.p50, has.p95, has.p99, has.most)
        rows.append((what, f"{has.count:,}", *map(milliseconds, times)))
    headings = ("[ms]", "count", "mean", "median", "95 %", "99 %", "most")
    pieces = [
        histograms("latencies", "Histograms of latencies and jitter", found),
        note("The last bar of each has all that is over the 99.9th percentile."),
        table(headings, rows, name="latencies"),
    ]
    if not len(content.updates):
        text = (
            "How long VLM updates took is not known: there are none in it (a run folder has none)."
        )
        pieces.append(note(text))
    return section(title, *pieces)


def seams(content: Content, analysis: Analysis, axis: TimeAxis) -> Element:
    """How well consecutive chunks agree."""
    title = "Seams between chunks"
    chunks, found = content.chunks, analysis.seams
    if chunks is None or found is None:
        return section(title, note(NO_CHUNKS))
    if not len(found.stamps):
        return section(title, note("No two consecutive chunks have an instant in common."))
    text = (
        "Step i of a chunk and step i-1 of the next are for the same instant: how far the next "
        "chunk is from it, over all steps that both have, in the actions' own units. "
        f"{len(found.stamps):,} of {found.pairs:,} pairs of consecutive chunks overlap."
    )
    label = "Jumps between consecutive action chunks, by action dimension"
    jumps = {"largest": found.largest, "RMS": found.rms}
    drawn = seam_plot("seams", label, axis, found.stamps, jumps, chunks.names)
    shown = [note(text), drawn, _jump_table(found, chunks.names)]
    return section(title, *shown, *_jerks(found, chunks.names, axis))


def _jump_table(found: Seams, names: Sequence[str]) -> Element:
    rows = []
    for dimension, name in enumerate(names):
        first = Distribution.of(np.abs(found.first[:, dimension]))
        most = Distribution.of(found.largest[:, dimension])
        rms = math.sqrt(Distribution.of(found.rms[:, dimension] ** 2).mean)
        numbers = (rms, first.mean, most.p50, most.p95, most.p99, most.most)
        rows.append((name, *(number(each, 4) for each in numbers)))
    headings = (
        "dimension",
        "RMS of all jumps",
        "mean jump at step 0",
        "largest jump: median",
        "95 %",
        "99 %",
        "most",
    )
    return table(headings, rows, name="seams")


def _jerks(found: Seams, names: Sequence[str], axis: TimeAxis) -> Iterator[Element]:
    """How hard the changes from chunk to chunk are."""
    if not np.isfinite(found.jerk).any():
        text = "The chunks are too short, or overlap too little, for a jerk: it takes four steps."
        yield note(text)
        return
    text = (
        "The jerk is the third derivative of the actions, in their own units per s³, where an "
        "executor changes from a chunk to the next: the largest, at whichever common instant."
    )
    yield note(text)
    label = "Jerk where consecutive action chunks meet, by action dimension"
    titles = [f"jerk of {name}" for name in names]
    measures = {"largest": found.jerk}
    yield seam_plot("jerks", label, axis, found.stamps, measures, titles, least=_LEAST_JERK)
    rows = []
    for dimension, name in enumerate(names):
        most = Distribution.of(found.jerk[:, dimension])
        rows.append((name, *map(number, (most.p50, most.p95, most.p99, most.most))))
    headings = ("dimension", "largest jerk [1/s³]: median", "95 %", "99 %", "most")
    yield table(headings, rows, name="jerks")


def actions(content: Content, axis: TimeAxis) -> Element:
    """What the chunks say."""
    chunks = content.chunks
    if chunks is None:
        return section("Actions", note(NO_CHUNKS))
    label = "Actions over time, by dimension"
    steps = chunks.rows["actions"]
    drawn = action_plot(
        "actions", label, axis, chunks.rows["stamp"], steps, chunks.period, chunks.names
    )
    text = f"Step 0 of each chunk; lightly, all {steps.shape[1]} predicted steps of some of them."
    return section("Actions", note(text), drawn)


def force(content: Content, axis: TimeAxis) -> Element:
    """The sensor's and the robot's."""
    found = {
        title: (rows["stamp"], rows["force"])
        for title, rows in (("sensor [N]", content.samples), ("robot [N]", content.states))
        if len(rows)
    }
    if not found:
        return section("Force", note("Neither sensor samples nor robot states were recorded."))
    text = "Where there are more values than pixels, the least and the greatest of each pixel."
    return section("Force", note(text), lines("force", "Force over time", axis, found, 1, 1.9))


def robot(content: Content, axis: TimeAxis) -> Element:
    """Where the robot was."""
    states = content.states
    if not len(states):
        return section("Robot", note("No robot states were recorded."))
    titles = [f"joint {index + 1} [deg]" for index in range(6)]
    joints = {
        title: (states["stamp"], states["joints"][:, index]) for index, title in enumerate(titles)
    }
    poses = {
        title: (states["stamp"], states["pose"][:, index]) for index, title in enumerate(_POSE)
    }
    return section(
        "Robot",
        lines("joints", "Joints over time", axis, joints, 3),
        lines("pose", "Pose over time", axis, poses, 3),
    )

"""The plots of the report, each from numbers to an SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla_inference_ros.core.validity import AgeBudget
from vla_inference_ros.report.axes import (
    BLUE,
    COLOURS,
    GREEN,
    ORANGE,
    RED,
    TimeAxis,
    legend,
    limit,
    panels,
    time_panels,
    wide_panel,
)
from vla_inference_ros.report.reduce import rates
from vla_inference_ros.report.svg import COLUMNS, plot

_ROW = 0.26  # height of a row of marks [inches]
_PANEL = 1.65  # height of a small plot [inches]
_MOST_BINS = 150  # of a rate over time
_HISTOGRAM_BINS = 60
_LEAST_RANGE = 0.01  # of a histogram [ms]
_DRAWN_CHUNKS = 40  # whose predicted steps are drawn

Series = Mapping[str, tuple[NDArray[np.float64], NDArray[np.floating]]]  # by name: times, values
AgeGroups = dict[str, tuple[Mapping[str, NDArray[np.float64]], AgeBudget | None]]
Marks = Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64], str]]


def timeline(name: str, label: str, axis: TimeAxis, rows: Marks) -> Element:
    """Rows of spans of time: each row's name, starts [Unix s], lengths [s] and colour."""

    def draw(figure: Figure) -> None:
        axes = wide_panel(figure, [row[0] for row in rows])
        for number, (_, starts, lengths, colour) in enumerate(rows):
            axis.spans(axes, -number, starts, lengths, colour)
        axis.prepare(axes)

    return plot(name, label, 0.5 + _ROW * len(rows), draw)


def rate_plot(
    name: str, label: str, axis: TimeAxis, groups: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> Element:
    """A panel for each group of streams, by their things' times [Unix s]."""
    bins = int(np.clip(axis.length, 1, _MOST_BINS))

    def draw(figure: Figure) -> None:
        shown = time_panels(figure, axis, (f"{title} [1/s]" for title in groups), 2)
        for axes, streams in zip(shown, groups.values(), strict=True):
            for number, (stream, times) in enumerate(streams.items()):
                edges, values = rates(times, axis.start, axis.end, bins)
                colour = COLOURS[number % len(COLOURS)]
                axes.stairs(values, axis(edges), color=colour, label=stream, baseline=None)
            axes.set_ylim(bottom=0)
            legend(axes)

    return plot(name, label, _PANEL * -(-len(groups) // 2), draw)


def age_plot(
    name: str,
    label: str,
    axis: TimeAxis,
    times: NDArray[np.float64],
    groups: AgeGroups,
) -> Element:
    """A panel for each group of ages [s] at the chunks' ``times``, with the limits on them."""

    def draw(figure: Figure) -> None:
        shown = time_panels(figure, axis, (f"{title} [ms]" for title in groups), 2)
        for axes, (ages, budget) in zip(shown, groups.values(), strict=True):
            for number, (what, values) in enumerate(ages.items()):
                axis.line(
                    axes,
                    times,
                    1000.0 * values,
                    COLOURS[number % len(COLOURS)],
                    label=what,
                    columns=COLUMNS // 2,
                )
            if budget is not None:
                limit(axes, 1000.0 * budget.soft, ORANGE, "DEGRADED over")
                limit(axes, 1000.0 * budget.hard, RED, "no chunk over")
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            legend(axes)

    return plot(name, label, 1.15 * _PANEL * -(-len(groups) // 2), draw)


def histograms(name: str, label: str, values: Mapping[str, NDArray[np.floating]]) -> Element:
    """A panel for each, of values [s]; the last bin has all that is over the 99.9th percentile."""

    def draw(figure: Figure) -> None:
        shown = panels(figure, (f"{title} [ms]" for title in values), 3)
        for axes, each in zip(shown, values.values(), strict=True):
            milliseconds = 1000.0 * each[np.isfinite(each)].astype(np.float64)
            top = float(np.percentile(milliseconds, 99.9))
            low = min(0.0, float(milliseconds.min()))
            high = max(top, low + _LEAST_RANGE)
            counts, edges = np.histogram(
                np.minimum(milliseconds, high), _HISTOGRAM_BINS, (low, high)
            )
            axes.stairs(counts, edges, fill=True, color=BLUE)
            axes.margins(x=0.01)

    return plot(name, label, _PANEL * -(-len(values) // 3), draw)


def lines(
    name: str, label: str, axis: TimeAxis, series: Series, columns: int, height: float = _PANEL
) -> Element:
    """A panel for each series."""

    def draw(figure: Figure) -> None:
        shown = time_panels(figure, axis, series, columns)
        for axes, (times, values) in zip(shown, series.values(), strict=True):
            axis.line(axes, times, values, BLUE, columns=COLUMNS // columns)

    return plot(name, label, height * -(-len(series) // columns), draw)


def action_plot(
    name: str,
    label: str,
    axis: TimeAxis,
    stamps: NDArray[np.float64],
    actions: NDArray[np.floating],
    period: float,
    step_names: Sequence[str],
) -> Element:
    """A panel for each dimension of actions (n, H, D): step 0, and lightly all steps of some."""
    shown = np.unique(np.linspace(0, len(stamps) - 1, _DRAWN_CHUNKS).astype(np.intp))
    step = period if np.isfinite(period) else 0.0
    later = stamps[shown, None] + step * np.arange(actions.shape[1])
    apart = np.full((len(shown), 1), np.nan)
    x = axis(np.hstack([later, apart]).ravel())

    def draw(figure: Figure) -> None:
        for dimension, axes in enumerate(time_panels(figure, axis, step_names, 2)):
            y = np.hstack([actions[shown, :, dimension].astype(np.float64), apart]).ravel()
            axes.plot(x, y, color=ORANGE, linewidth=0.6, alpha=0.7, label="predicted steps")
            first = actions[:, 0, dimension]
            axis.line(axes, stamps, first, BLUE, label="step 0", columns=COLUMNS // 2)
            if dimension == 0:
                legend(axes)

    return plot(name, label, _PANEL * -(-len(step_names) // 2), draw)


def seam_plot(
    name: str,
    label: str,
    axis: TimeAxis,
    stamps: NDArray[np.float64],
    measures: Mapping[str, NDArray[np.float64]],
    titles: Sequence[str],
    *,
    least: float = 0.0,
) -> Element:
    """A panel for each action dimension: one or two measures of the seams, each (m, D), by name. It
    reaches up to ``least`` even if all values are below, as those are that rounding alone makes.
    """

    def draw(figure: Figure) -> None:
        for dimension, axes in enumerate(time_panels(figure, axis, titles, 2)):
            columns = COLUMNS // 2
            for (what, values), colour in zip(measures.items(), (RED, GREEN), strict=False):
                axis.line(axes, stamps, values[:, dimension], colour, label=what, columns=columns)
            axes.set_ylim(bottom=0, top=max(least, axes.get_ylim()[1]))
            if dimension == 0:
                legend(axes)

    return plot(name, label, _PANEL * -(-len(titles) // 2), draw)

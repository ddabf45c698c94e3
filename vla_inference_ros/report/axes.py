"""What all plots over time share: the time axis, lines that are as long as a run, marks, limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla_inference_ros.report.reduce import column_of, envelope
from vla_inference_ros.report.svg import COLUMNS
from vla_inference_ros.report.text import plain

# Okabe and Ito's colours, which most kinds of colour-blind people can tell apart, seen on white and
# on black alike.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = (
    "#1b7fbd",
    "#d98e04",
    "#009e73",
    "#d55e00",
    "#c264a0",
    "#56a9d8",
    "#8a8a8a",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, GREY)
_MINUTES_FROM, _HOURS_FROM = 600.0, 4 * 3600.0  # length of a run [s]
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.58, 0.2, 0.27, 0.42  # of axes, for what stands there [inches]
_TICKS = 0.22  # below axes without a label [inches]
_CHARACTER = 0.068  # width of one, about [inches]
_LONGEST_TITLE, _LONGEST_NAME, _LONGEST_LABEL = 60, 48, 16  # [characters]
_LEGEND_COLUMNS = 6
_BREAK = 5.0  # median intervals without a point that break a line


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The run from ``start`` to ``end`` [Unix s], told as the time since its start."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Of the run [s]."""
        return self.end - self.start

    @property
    def _unit(self) -> tuple[float, str]:
        if self.length >= _HOURS_FROM:
            return 3600.0, "h"
        return (60.0, "min") if self.length >= _MINUTES_FROM else (1.0, "s")

    def __call__(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Times [Unix s] in the axis's unit."""
        return (np.asarray(times, np.float64) - self.start) / self._unit[0]

    def prepare(self, axes: Axes, *, labelled: bool = True) -> None:
        """Give axes this time axis."""
        low, high = 0.0, self.length / self._unit[0]
        margin = 0.005 * (high - low) or 0.5
        axes.set_xlim(low - margin, high + margin)
        if labelled:
            axes.set_xlabel(f"time since the start [{self._unit[1]}]")

    def line(
        self,
        axes: Axes,
        times: NDArray[np.float64],
        values: NDArray[np.floating],
        colour: str,
        *,
        label: str = "",
        columns: int = COLUMNS,
        width: float = 0.9,
    ) -> None:
        """Values over times (n,) each; of very many, the least and the greatest of each column. A
        pause breaks the line.
        """
        x, y = envelope(times, values, self.start, self.end, columns)
        x, y = _broken(x, y)
        axes.plot(self(x), y, color=colour, linewidth=width, label=label or None)

    def strip(
        self, axes: Axes, row: float, times: NDArray[np.float64], colour: str, height: float = 0.7
    ) -> None:
        """A mark at each time, in a row around y = ``row``; marks of neighbouring columns join."""
        inside = times[(times >= self.start) & (times <= self.end)]
        columns = np.unique(column_of(inside, self.start, self.end, COLUMNS))
        self._bars(axes, row, columns, colour, height)

    def spans(
        self,
        axes: Axes,
        row: float,
        starts: NDArray[np.float64],
        lengths: NDArray[np.float64],
        colour: str,
        height: float = 0.7,
    ) -> None:
        """Likewise for spans of time, each from its start and so long [s]."""
        covered = np.zeros(COLUMNS + 1, np.int64)
        inside = (starts <= self.end) & (starts + lengths >= self.start)
        first = column_of(starts[inside], self.start, self.end, COLUMNS)
        last = column_of((starts + lengths)[inside], self.start, self.end, COLUMNS)
        np.add.at(covered, first, 1)
        np.add.at(covered, last + 1, -1)
        self._bars(axes, row, np.flatnonzero(np.cumsum(covered)[:COLUMNS]), colour, height)

    def _bars(
        self, axes: Axes, row: float, columns: NDArray[np.intp], colour: str, height: float
    ) -> None:
        if not len(columns):
            return
        width = (self.length or 1.0) / COLUMNS
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
        bars = [(run[0] * width / self._unit[0], len(run) * width / self._unit[0]) for run in runs]
        axes.broken_barh(bars, (row - height / 2, height), color=colour, linewidth=0)


def _broken(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line with NaN where it has no point for long."""
    intervals = np.diff(x)
    positive = intervals[intervals > 0]
    if not len(positive):
        return x, y
    after = np.flatnonzero(intervals > _BREAK * np.median(positive)) + 1
    return np.insert(x, after, x[after - 1]), np.insert(y, after, np.nan)


def panels(figure: Figure, titles: Iterable[str], columns: int) -> list[Axes]:
    """Axes for each title, in rows of ``columns``; what is left of the last row stays empty."""
    named = [plain(title, _LONGEST_TITLE) for title in titles]
    rows = -(-len(named) // columns)
    width, height = figure.get_size_inches()
    across = (width - _RIGHT - columns * _LEFT) / columns  # of one of them
    between = _ABOVE + _TICKS
    down = (height - _ABOVE - _BELOW - (rows - 1) * between) / rows
    grid = figure.add_gridspec(
        rows,
        columns,
        left=_LEFT / width,
        right=1.0 - _RIGHT / width,
        top=1.0 - _ABOVE / height,
        bottom=_BELOW / height,
        wspace=_LEFT / across,
        hspace=between / down,
    )
    found = []
    for number, title in enumerate(named):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        axes.set_title(title)
        axes.locator_params(nbins=5)
        found.append(axes)
    return found


def time_panels(figure: Figure, axis: TimeAxis, titles: Iterable[str], columns: int) -> list[Axes]:
    """Likewise, all over time; of a column, only the lowest says so."""
    found = panels(figure, titles, columns)
    for number, axes in enumerate(found):
        axis.prepare(axes, labelled=len(found) - number <= columns)
    return found


def wide_panel(figure: Figure, names: Sequence[str]) -> Axes:
    """Axes with a row for each name at y = 0, -1, ..., and room for the names beside them."""
    shown = [plain(name, _LONGEST_NAME) for name in names]
    width, height = figure.get_size_inches()
    left = _LEFT / 2 + _CHARACTER * max(map(len, shown))
    below = _BELOW / height
    axes = figure.add_axes((left / width, below, (width - left - _RIGHT) / width, 0.98 - below))
    axes.set_yticks([-float(row) for row in range(len(shown))], shown)
    axes.set_ylim(-len(shown) + 0.4, 0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return axes


def legend(axes: Axes) -> None:
    """Beside the title, where there is more than one line."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        axes.legend(
            handles,
            [plain(label, _LONGEST_LABEL) for label in labels],
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            borderaxespad=0.1,
            ncols=min(len(handles), _LEGEND_COLUMNS),
            fontsize=7,
            columnspacing=1.2,
        )


def limit(axes: Axes, value: float, colour: str, label: str) -> None:
    """A dashed line at a value."""
    axes.axhline(value, color=colour, linewidth=0.9, linestyle=(0, (4, 3)), label=label)

"""The sensor window: the newest samples in the order in which they were measured.

It owns which samples those are and in which rows they stand. A sample's place comes from its time
alone: datagrams that were lost, repeated or overtaken on their way change nothing about the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FILLS = ("zero", "hold_last", "interpolate")

_HISTORY = 2  # windows of samples that are kept, to recognise duplicates of older ones
_ROOM = 4  # histories that the buffer holds, so that samples are seldom moved
_SAME_TIME = 1e-6  # sender times closer than this are one [s]: a Unix time resolves 0.24 us
_SET_BACK = 1.0  # a batch that is older than the newest sample by more starts the window over [s]
_CROWDED = 0.5  # samples closer than this are two in the place of one [of the nominal time apart]
_CORRECTION = 0.1  # no smaller change of a clock offset is a clock that was set: NTP slews it [s]


@dataclass(frozen=True, slots=True, eq=False)
class WindowSnapshot:
    """The window at one instant; its arrays are the caller's.

    ``values`` (length, channels) float32: row -1 is the newest sample, column 0 the force [N], the
    rest the A-scan. ``mask`` (length,) bool: the rows that are samples really received. ``samples``
    counts them, ``missing`` the other rows, ``gaps`` the runs of missing rows between samples.
    ``first_time`` and ``last_time`` are acquisition times [Unix s] of the oldest and the newest
    sample in the window, 0 in an empty one; ``nominal_span`` [s] is how far apart these two should
    be, by the rows between them, and ``crowded`` counts neighbours of which each is less than half
    of the nominal time after the other. Counts since the start: ``reordered`` samples came
    after newer ones and were put before them, ``duplicates`` were dropped, and so were ``late``
    ones, which are older than all that the window may still use.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    samples: int
    missing: int
    gaps: int
    first_time: float
    last_time: float
    nominal_span: float
    crowded: int
    reordered: int
    duplicates: int
    late: int

    @property
    def span(self) -> float:
        """Time between the oldest and the newest sample [s]."""
        return self.last_time - self.first_time


class SensorWindow:
    """The newest ``length`` slots of ``1 / rate`` seconds, back from the newest sample.

    Going back, a sample stands rint(dt * rate) rows before the next one, which is dt seconds newer:
    a sensor a little off its rate has no gaps. Samples of one slot take a row each, at the cost of
    the gap before them: nor has a sensor that stamps in bursts. Rows without a sample are ``zero``,
    a copy of the sample before (``hold_last``), or on the straight line between both neighbours
    (``interpolate``); rows before the oldest sample are always zero, as in training. For one
    thread. ValueError if ``fill`` is none of ``FILLS``.
    """

    def __init__(self, length: int, channels: int, rate: float, fill: str = "zero") -> None:
        if fill not in FILLS:
            raise ValueError(f"fill is '{fill}', not one of {', '.join(FILLS)}")
        self.length = length
        self._rate = rate
        self._fill = fill
        self._history = _HISTORY * length
        self._room = _ROOM * self._history
        self._times = np.zeros(self._room)  # in this host's clock
        self._sent = np.zeros(self._room)  # in the sender's
        self._rows = np.zeros((self._room, channels), np.float32)
        self._start = self._end = 0  # of the kept samples in these, oldest first
        self._offset = 0.0
        self._reordered = self._duplicates = self._late = 0

    def append(
        self,
        times: NDArray[np.float64],
        force: NDArray[np.float32],
        ascan: NDArray[np.float32],
        clock_offset: float = 0.0,
    ) -> None:
        """Add n samples in any order: times (n,) [Unix s], force (n,) [N], ascan (n, K).

        ``clock_offset`` [s] is what was added to the sender's times to give ``times``. When it is
        corrected, the kept samples' times are too. The window starts over with a batch that is
        more than 1 s older than the newest kept sample: then that one's time was wrong, or time
        was set back. ValueError, and nothing is added, if K is not the window's or a time is not
        finite.
        """
        points = self._rows.shape[1] - 1
        if ascan.shape[1] != points:
            raise ValueError(f"A-scan has {ascan.shape[1]} points, the window takes {points}")
        sent = times - clock_offset
        if not np.isfinite(sent).all():
            bad = int(np.argmin(np.isfinite(sent)))
            raise ValueError(
                f"sample {bad} of {len(times)} has time {times[bad]} s at clock offset "
                f"{clock_offset} s, not a finite one: does the sender stamp its samples?"
            )
        if len(times):
            self._correct_offset(float(times.max()), clock_offset)
        for first in range(0, len(times), self._history):
            part = slice(first, first + self._history)
            self._add(times[part], sent[part], force[part], ascan[part])

    @property
    def samples(self) -> int:
        """How many real samples a snapshot would hold now."""
        return len(self._places())

    def snapshot(self) -> WindowSnapshot:
        """The window as it is now."""
        places = self._places()
        samples = len(places)
        newest = slice(self._end - samples, self._end)
        times, rows = self._times[newest], self._rows[newest]
        gaps = int(np.count_nonzero(np.diff(places) > 1))
        crowded = int(np.count_nonzero(np.diff(times) * self._rate < _CROWDED))
        mask = np.zeros(self.length, np.bool_)
        mask[places] = True
        values = np.zeros((self.length, rows.shape[1]), np.float32)
        if gaps:
            values[places] = rows
            self._fill_gaps(values, places, mask)
        else:
            values[self.length - samples :] = rows
        return WindowSnapshot(
            values=values,
            mask=mask,
            samples=samples,
            missing=self.length - samples,
            gaps=gaps,
            first_time=float(times[0]) if samples else 0.0,
            last_time=float(times[-1]) if samples else 0.0,
            nominal_span=float(places[-1] - places[0]) / self._rate if samples else 0.0,
            crowded=crowded,
            reordered=self._reordered,
            duplicates=self._duplicates,
            late=self._late,
        )

    def clear(self) -> None:
        """Forget all samples; the counts since the start stay."""
        self._start = self._end = 0

    def _correct_offset(self, newest: float, clock_offset: float) -> None:
        """Without it the first samples after a correction would seem to overlap or to be missing.

        It is one unless the sender's clock was set: then its times jump to the batch's ``newest``
        and this host's go on, and the kept ones are right as they are.
        """
        change = clock_offset - self._offset
        self._offset = clock_offset
        if change == 0.0 or self._start == self._end:
            return
        here = abs(newest - self._times[self._end - 1])
        by_sender = abs(newest - clock_offset - self._sent[self._end - 1])
        if abs(change) < _CORRECTION or by_sender < here:
            self._times[self._start : self._end] += change

    def _add(
        self,
        times: NDArray[np.float64],
        sent: NDArray[np.float64],
        force: NDArray[np.float32],
        ascan: NDArray[np.float32],
    ) -> None:
        """Add at most a history of samples."""
        self._make_room(len(times))
        new = slice(self._end, self._end + len(times))
        self._times[new], self._sent[new] = times, sent
        self._rows[new, 0], self._rows[new, 1:] = force, ascan
        end = self._drop_duplicates(new.stop)
        if end == self._end:
            return
        if self._start < self._end:
            age = self._times[self._end - 1] - self._times[self._end : end].max()
            if age > _SET_BACK:
                self._start = self._end
        self._take_in(end)

    def _make_room(self, count: int) -> None:
        if self._end + count > self._room:
            self._move(slice(self._start, self._end), to=slice(self._end - self._start))
            self._start, self._end = 0, self._end - self._start

    def _move(self, samples: slice | NDArray[np.intp], to: slice) -> None:
        for column in (self._times, self._sent, self._rows):
            column[to] = column[samples]

    def _drop_duplicates(self, end: int) -> int:
        """Of the new samples up to row ``end``, drop those that are there already; the new end.

        The sender's time tells, since the clock offset may have been corrected in between.
        """
        sent, count = self._sent[self._start : end], end - self._end
        later = sent[1:] - np.maximum.accumulate(sent)[:-1]
        if (later[-count:] > _SAME_TIME).all():
            return end
        alike = np.abs(sent[-count:, None] - sent) <= _SAME_TIME
        earlier = np.tril(alike, self._end - self._start - 1)
        fresh = np.ones(count, np.bool_)
        for row, twin in np.argwhere(earlier):
            if self._rows[self._end + row].tobytes() == self._rows[self._start + twin].tobytes():
                fresh[row] = False
        kept = self._end + np.flatnonzero(fresh)
        self._duplicates += count - len(kept)
        end = self._end + len(kept)
        self._move(kept, to=slice(self._end, end))
        return end

    def _take_in(self, end: int) -> None:
        """Keep the new samples up to row ``end``: a matter of indices if they are in order."""
        line = self._times[max(self._start, self._end - 1) : end]
        overtaken = int(np.count_nonzero(line < np.maximum.accumulate(line)))
        if overtaken:
            order = np.argsort(self._times[self._start : end], kind="stable")
            kept, outside = order[-self._history :], order[: -self._history]
            late = int(np.count_nonzero(outside >= self._end - self._start))
            self._late += late
            self._reordered += overtaken - late
            end = self._start + len(kept)
            self._move(self._start + kept, to=slice(self._start, end))
        self._end = end
        self._start = max(self._start, end - self._history)

    def _places(self) -> NDArray[np.intp]:
        """Rows of the window in which its samples stand, oldest first."""
        times = self._times[max(self._start, self._end - self.length) : self._end]
        slots = np.zeros(len(times))
        slots[1:] = np.cumsum(np.rint(np.diff(times) * self._rate)[::-1])
        at_least = np.arange(len(times))
        back = at_least + np.maximum.accumulate(slots - at_least)
        inside = back[back < self.length]
        return (self.length - 1 - inside[::-1]).astype(np.intp)

    def _fill_gaps(
        self, values: NDArray[np.float32], places: NDArray[np.intp], mask: NDArray[np.bool_]
    ) -> None:
        if self._fill == "zero":
            return
        first = places[0]
        empty = first + np.flatnonzero(~mask[first:])
        after = np.searchsorted(places, empty)
        left, right = places[after - 1], places[after]
        if self._fill == "hold_last":
            values[empty] = values[left]
            return
        share = ((empty - left) / (right - left))[:, None]
        values[empty] = (1.0 - share) * values[left] + share * values[right]

"""How evenly a stream came: what is missing, doubled or out of order, by its sender's own times.

Those times tell, and not the times of receipt, because a network delays and a correction of the
clock offset shifts; neither loses anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAME_TIME = 2e-6  # times closer than this are one [s]: run folders round to 1 us
QUIET_END = 2.0  # without anything that is no gap: what sends ends one after the other [s]
_SET = 1.0  # a clock that jumps by more than this was set [s]


@dataclass(frozen=True, slots=True, eq=False)
class Rhythm:
    """Of ``count`` items, ``period`` [s] is the time between two, NaN where it is not known.

    ``missing`` of the ``expected`` items are in ``len(gap_starts)`` gaps: ``gap_starts`` (g,)
    [Unix s] by this host's clock, is when the last item before each was acquired, ``gap_lengths``
    (g,) [s] the time from there to the next item, or to the end. ``duplicates`` came again,
    ``reordered`` came after a newer one, ``clock_steps`` counts how often the sender's clock was
    set; across a step nothing can be said to be missing.
    """

    count: int
    period: float
    missing: int
    gap_starts: NDArray[np.float64]
    gap_lengths: NDArray[np.float64]
    duplicates: int
    reordered: int
    clock_steps: int

    @property
    def expected(self) -> int:
        """How many items there were to be."""
        return self.count - self.duplicates + self.missing

    @property
    def longest(self) -> float:
        """The longest gap [s]; 0 if there is none."""
        return float(self.gap_lengths.max(initial=0.0))


def rhythm(
    own: NDArray[np.float64],
    stamps: NDArray[np.float64],
    received: NDArray[np.float64],
    digests: NDArray[np.uint32],
    period: float | None = None,
    end: float | None = None,
) -> Rhythm:
    """The rhythm of items in the order of receipt: acquisition times (n,) by the sender's ``own``
    clock and by this host's (``stamps``), times of receipt, and what tells two contents apart.

    Time is divided into slots of one ``period``, by default the median interval. Two items that are
    dt apart are rint(dt / period) slots apart, so that one is missing from 1.5 periods on. Items of
    one slot take a slot each at the cost of the gap before them, as in the sensor window: a sender
    that stamps in bursts has lost nothing. What was silent for more than QUIET_END before the
    recording's ``end`` [Unix s] has a gap until there.
    """
    starts = np.flatnonzero(_clock_set(own, received)) + 1
    pieces = []
    duplicates = reordered = 0
    for piece in np.split(np.arange(len(own)), starts):
        reordered += int((own[piece] < np.maximum.accumulate(own[piece])).sum())
        order = piece[np.argsort(own[piece], kind="stable")]
        fresh = order[~_repeats(own[order], digests[order])]
        duplicates += len(piece) - len(fresh)
        pieces.append(fresh)
    intervals = np.concatenate([np.diff(own[piece]) for piece in pieces])
    if period is None:
        period = float(np.median(intervals)) if len(intervals) else np.nan
    missing, gap_starts, gap_lengths = 0, [], []
    for piece in pieces:
        empty = _empty_slots(own[piece], period)
        before = np.flatnonzero(empty > 0)
        missing += int(empty.sum())
        gap_starts.append(stamps[piece][before])
        gap_lengths.append(own[piece][before + 1] - own[piece][before])
    silence = end - float(received.max()) if end is not None and len(received) else 0.0
    if period > 0 and silence > max(QUIET_END, 1.5 * period):
        missing += int(silence / period)
        gap_starts.append(stamps[-1:])
        gap_lengths.append(np.array([silence]))
    return Rhythm(
        len(own),
        period,
        missing,
        np.concatenate(gap_starts),
        np.concatenate(gap_lengths),
        duplicates,
        reordered,
        len(starts),
    )


def _clock_set(own: NDArray[np.float64], received: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the sender's clock was set between each item and the next: it went back, or went on
    by more than can have passed.
    """
    passed = np.diff(own)
    return (passed < -_SET) | (passed > np.maximum(np.diff(received), 0.0) + _SET)


def _repeats(own: NDArray[np.float64], digests: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which of the items, in order of time, are there already: the same time and content."""
    repeats = np.zeros(len(own), np.bool_)
    alike = (np.diff(own) <= _SAME_TIME) & (digests[1:] == digests[:-1])
    repeats[1:] = alike
    return repeats


def _empty_slots(own: NDArray[np.float64], period: float) -> NDArray[np.int64]:
    """How many slots between each item and the next hold nothing."""
    if len(own) < 2 or not period > 0:
        return np.zeros(max(0, len(own) - 1), np.int64)
    slots = np.concatenate([[0.0], np.cumsum(np.rint(np.diff(own) / period))])
    line = np.arange(len(own))
    # From the newest back, each item takes its own slot or the one before the next item's.
    taken = line + np.minimum.accumulate((slots - line)[::-1])[::-1]
    return (np.diff(taken) - 1).astype(np.int64)

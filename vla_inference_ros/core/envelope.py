"""The lower envelope of time differences: the line that lies under all of them, over a minute.

A difference is receipt time minus send time, each by its own clock: offset + network delay. A
delay is never negative, so the offset lies on or below every difference, and the best estimate is
the line under all of them that comes closest to them: the classic linear-programming answer to
one-way clock skew (Moon, Skelly, Towsley: Estimation and removal of clock skew from network delay
measurements, INFOCOM 1999), which is the edge of their lower convex hull at their mean time.

What differences alone cannot tell: the path's least delay, which stays in the offset; and an added
delay that lasts from a clock that was set back, as both raise every difference. It is taken for
delay, the safe side: data may look too old, never too new. So the line rises no faster than the
sender's clock plausibly drifts: 100 ppm while the drift is not known, and then that drift plus its
error, 10 ppm where packets are many and the network is quiet. There, a lasting delay of 200 ms
still shows as 164 ms an hour later. A delay that grows as evenly and slowly as drift is taken for
drift.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, float]  # steady time, difference; both [s]

# The sliding window: the least difference of each second of the last minute.
_WINDOW = 60.0
# So many seconds, one in ten, may have their least difference from damaged times.
_FEW = 10
# How fast a known drift may grow towards higher offsets: 10 ppm a minute, for warming up.
_WANDER = 10e-6 / 60
# A window teaches the drift if it has so many of them, over so many seconds, ...
_LEAST_POINTS, _LEAST_SPAN = 10, 10.0
# ... and they lie close enough to one line; no quartz is further off than the limit [s/s].
_MAX_DRIFT = 500e-6
_UNKNOWN_DRIFT = 100e-6
_WELL_KNOWN_DRIFT = 20e-6
_LEAST_DRIFT_ERROR = 10e-6


class Envelope:
    """The line under all differences of a clock that was not set meanwhile.

    Adding costs O(1), and a fit over at most 60 points once a second. ``packets`` is how many
    differences it has seen, ``slope`` [s/s] how fast the line rises, ``spread`` [s] how far the
    least differences of the seconds typically lie above the usual least of them, drift removed.
    """

    def __init__(self, steady_time: float, difference: float) -> None:
        self.packets = 1
        self.slope = 0.0
        self.spread = 0.0
        self._slope_error = _UNKNOWN_DRIFT
        self._slope_known = False
        self._fastest_rise = _UNKNOWN_DRIFT
        self._time = steady_time
        self._level = difference  # of the line at _time
        self._usual = difference  # likewise, above the tenth that damaged times may have made
        self._excess = 0.0  # of the typical second over the line
        self._complete = True  # the window still reaches back to the first difference
        self._points: deque[Point] = deque([(steady_time, difference)])

    def at(self, steady_time: float) -> float:
        """The line's value [s]."""
        return self._level + self.slope * (steady_time - self._time)

    def usual(self, steady_time: float) -> float:
        """What the least differences of nine in ten seconds lie above [s]: a few damaged times
        lower the line, but not this.
        """
        return self._usual + self.slope * (steady_time - self._time)

    def uncertainty(self, steady_time: float) -> float:
        """How far off the line may be [s], the path's least delay aside, which cannot be seen: how
        far the seconds' least differences typically lie above it, and what the drift's error makes
        of the time since the last fit.
        """
        return self._excess + self._slope_error * max(0.0, steady_time - self._time)

    def add(self, steady_time: float, difference: float) -> None:
        """Take one more difference in; the line never stays above it."""
        self.packets += 1
        newest_time, least = self._points[-1]
        if math.floor(steady_time) != math.floor(newest_time):
            self._fit(max(steady_time, newest_time))
            self._points.append((steady_time, difference))
        elif difference < least:
            self._points[-1] = (steady_time, difference)
        self._level -= max(0.0, self.at(steady_time) - difference)

    def shift(self, seconds: float) -> None:
        """This host's clock was set by so much: so much longer is every difference."""
        self._level += seconds
        self._usual += seconds
        self._points = deque((time, difference + seconds) for time, difference in self._points)

    def _fit(self, now: float) -> None:
        while len(self._points) > 1 and self._points[0][0] < now - _WINDOW:
            self._points.popleft()
            self._complete = False
        elapsed = max(0.0, now - self._time)
        highest = self._level + self._fastest_rise * elapsed
        self._learn_slope(elapsed)
        if self._complete:
            highest = math.inf  # nothing is forgotten yet, so what is low still keeps it down
        levels = _levels(self._points, self.slope, now)
        median = levels[len(levels) // 2]
        self._level = min(levels[0], highest)
        self._usual = levels[len(levels) // _FEW]
        self._time = now
        self.spread = median - self._usual
        self._excess = median - self._level

    def _learn_slope(self, elapsed: float) -> None:
        """Take the window's slope if it is about as well known as the present one, or better.

        What a few seconds taught may be wrong, and is free to change in the first minute.
        """
        points = sorted(self._points)
        span = points[-1][0] - points[0][0]
        if len(points) < _LEAST_POINTS or span < _LEAST_SPAN:
            return
        slope = max(-_MAX_DRIFT, min(_MAX_DRIFT, _slope_at_mean_time(points)))
        if not self._complete and self._slope_known:
            self._fastest_rise += _WANDER * elapsed
            slope = min(slope, self._fastest_rise)
        levels = _levels(points, slope, points[0][0])
        error = 2 * (levels[len(levels) // 2] - levels[0]) / span
        if error <= max(self._slope_error, _WELL_KNOWN_DRIFT):
            self.slope = slope
            self._slope_error = max(error, _LEAST_DRIFT_ERROR)
            known, self._slope_known = self._slope_known, True
            if self._complete or not known:
                self._fastest_rise = math.inf
        if self._slope_known:
            self._fastest_rise = min(self._fastest_rise, self.slope + self._slope_error)


def _levels(points: Sequence[Point] | deque[Point], slope: float, time: float) -> list[float]:
    """The values at ``time`` of the lines of this slope through each point, sorted."""
    return sorted(difference - slope * (then - time) for then, difference in points)


def _slope_at_mean_time(points: Sequence[Point]) -> float:
    """Slope of the lower convex hull's edge at the mean time; the points are sorted."""
    hull: list[Point] = []
    for point in points:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    mean = sum(time for time, _ in points) / len(points)
    for left, right in pairwise(hull):
        if right[0] >= mean and right[0] > left[0]:
            return (right[1] - left[1]) / (right[0] - left[0])
    return 0.0


def _turn(first: Point, second: Point, third: Point) -> float:
    """Positive if the way from the first by the second to the third turns left."""
    return (second[0] - first[0]) * (third[1] - first[1]) - (third[0] - first[0]) * (
        second[1] - first[1]
    )

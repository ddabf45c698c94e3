"""Tells how old content is that comes with new times, by when the same was there first.

Owns the memory and the judgement. Does not own what makes two contents the same (``liveness``).
"""

from __future__ import annotations

from collections import deque

MEMORY = 20.0  # content that has not been there for longer is new again [s]
JUDGED = 1.0  # the newest time by which it is judged [s]

_MOST_LATE = 0.25  # share of what came in it whose content may be older than is tolerated
_SET_BACK = 3.0  # time that goes back by more begins anew, as when a recording is played again [s]
_MOST_KEPT = 20_000  # contents, should times not go on


class Renewal:
    """Of one stream's items, each with its time and a number for its content.

    What comes again is as old as it was when it came first, for as long as it is remembered. A
    sender that is quicker than its device repeats, too, but not for long: that is tolerated.
    """

    def __init__(self, dead_after: float, tolerated: float) -> None:
        """Nothing may be older than its time says by ``dead_after`` [s], and no more than one item
        in four by ``tolerated`` [s].
        """
        self._dead_after, self._tolerated = dead_after, tolerated
        self._seen: dict[int, tuple[float, float]] = {}  # first and last times, by the last
        self._judged: deque[tuple[float, bool, bool]] = deque()  # time, is late, is dead
        self._late = self._dead = 0
        self._previous: int | None = None
        self._since = 0.0  # from when on nothing but the newest content came
        self.comes_again = False  # whether other content was between, when last an item was late

    def add(self, time: float, content: int) -> None:
        """Take the next item's time [Unix s] and content."""
        if self._judged and time < self._judged[-1][0] - _SET_BACK:
            self._forget()
        known = self._seen.pop(content, None)
        first, last = known or (time, time)
        self._seen[content] = min(first, time), max(last, time)
        if content != self._previous:
            self._previous, self._since = content, time
        if known is None or last != time:  # else it is the same item
            self._judge(time, time - first)
        self._forget_before(time)

    @property
    def is_stale(self) -> bool:
        """Whether content of late was older than its time says, by too much or too often."""
        if self._dead or not self._judged:
            return self._dead > 0
        span = self._judged[-1][0] - self._judged[0][0]
        return span >= JUDGED / 2 and self._late > max(1.0, _MOST_LATE * len(self._judged))

    def _judge(self, time: float, older: float) -> None:
        late, dead = older > self._tolerated, older >= self._dead_after
        self._judged.append((time, late, dead))
        self._late += late
        self._dead += dead
        if late:
            self.comes_again = time - older < self._since

    def _forget_before(self, time: float) -> None:
        while self._judged:
            oldest_time = self._judged[0][0]
            if oldest_time > time - JUDGED and len(self._judged) <= _MOST_KEPT:
                break
            _, late, dead = self._judged.popleft()
            self._late -= late
            self._dead -= dead
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest][1] >= time - MEMORY and len(self._seen) <= _MOST_KEPT:
                break
            del self._seen[oldest]

    def _forget(self) -> None:
        self._seen.clear()
        self._judged.clear()
        self._late = self._dead = 0
        self._previous = None

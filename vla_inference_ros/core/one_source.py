"""Which source a stream belongs to: the first that sends, until it has been silent for a while.

Two senders of one stream would give windows and views that are made of both. So there is one, and
what others send is refused. It is the first, since nobody can know which of two is the right one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SILENCE = 1.0  # after which another source may take the stream over [s]
_CONFIRMED = 0.1  # for so long that one has sent, and still nothing has come from the first [s]


@dataclass(frozen=True, slots=True)
class Source:
    """``host`` is whose clock its times are by; ``connection`` tells a program there from another
    one, and from itself after a restart. ``name`` is what people call it.
    """

    host: str
    connection: int
    name: str = field(default="", compare=False)


class OneSource:
    """Of one stream; for one thread. ``owner`` is the source that it belongs to, ``other`` another
    one that has sent within the last second, the first of them if there are several.
    """

    def __init__(self) -> None:
        self.owner: Source | None = None
        self.other: Source | None = None
        self._heard = 0.0  # of the owner; the others' times are steady ones, too [s]
        self._other_heard = 0.0
        self._other_since = math.inf  # for so long it has sent while the owner has not

    def is_silent(self, steady_time: float) -> bool:
        """Whether the owner has sent nothing for so long that another may take over."""
        return steady_time - self._heard > SILENCE

    def admits(self, source: Source, steady_time: float) -> bool:
        """Whether an item that came from ``source`` at ``steady_time`` [s] is the stream's."""
        if source == self.owner:
            self._heard, self._other_since = steady_time, math.inf
            return True
        if self.owner is None:
            self._take_over(source, steady_time)
            return True
        if self.other is None or steady_time - self._other_heard > SILENCE:
            self.other, self._other_since = source, steady_time
        if source != self.other:
            return False
        self._other_heard = steady_time
        self._other_since = min(self._other_since, steady_time)
        # What the owner has sent while this host stood still is read right after the other's.
        confirmed = steady_time - self._other_since >= _CONFIRMED
        if not (confirmed and self.is_silent(steady_time)):
            return False
        self._take_over(source, steady_time)
        return True

    def _take_over(self, source: Source, steady_time: float) -> None:
        self.owner, self._heard = source, steady_time
        self.other, self._other_since = None, math.inf

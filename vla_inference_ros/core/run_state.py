"""What was asked for while a run goes on, as several keepers know it who tell each other.

Each keeper outlives some of the others; whoever starts learns from those who are there. Of two
values of one name the later one holds, and all come to the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# Beyond these nothing is kept: nobody has asked for so much, and a clock is not so far ahead.
_MOST_ENTRIES = 200
_LONGEST = 2000  # characters of a name or a value
_FURTHEST = 10 * 365 * 86_400 * 10**9  # [ns]


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A value and when it was asked for [ns since 1970]."""

    time: int
    value: str


class RunState:
    """Values by name. For one thread, but ``entries`` may be read by any."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self.entries: dict[str, Entry] = {}  # replaced, never changed
        self._clock = clock

    def ask(self, name: str, value: str, time: int | None = None) -> bool:
        """Take a value that was asked for just now: later than all that is known, whatever the
        clocks say. One from before, as of a ``time`` [ns since 1970], is judged by that. Whether it
        is news.
        """
        newest = max((entry.time for entry in self.entries.values()), default=0)
        if time is None:
            time = max(self._clock(), newest + 1)
        return self.merge([name], [value], [time])

    def merge(self, names: Sequence[str], values: Sequence[str], times: Sequence[int]) -> bool:
        """Take what another keeper knows; whether any of it is news. ValueError if the lengths
        differ.
        """
        found, latest = dict(self.entries), self._clock() + _FURTHEST
        for name, value, at in zip(names, values, times, strict=True):
            entry = Entry(at, value)
            fits = len(name) <= _LONGEST and len(value) <= _LONGEST and at <= latest
            if fits and (name in found or len(found) < _MOST_ENTRIES):
                found[name] = max(entry, found.get(name, entry))
        is_news = found != self.entries
        self.entries = found
        return is_news

    def value(self, name: str) -> str | None:
        """The value of a name; None if nothing was asked for."""
        entry = self.entries.get(name)
        return entry.value if entry else None

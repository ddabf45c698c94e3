"""What was asked for while a run goes on, as several keepers know it who tell each other.

Each keeper outlives some of the others; whoever starts learns from those who are there. Of two
values of one name the later one holds, and all come to the same.

A message that asks for something can be heard again, long after: its publisher may keep it for
those who start later, and stamp it by a clock that is not ours. Its stamp tells it from any other,
and it was asked for when the first keeper heard it, not when another hears it again. Who was just
started cannot know whether a message is new: what it takes for its time is a guess, which holds
until a keeper tells that was there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Beyond these nothing is kept: nobody has asked for so much, and a clock is not so far ahead. Of
# messages it is the oldest that are forgotten, so that nothing keeps a new one out.
_MOST_ENTRIES, _MOST_MESSAGES = 200, 64
_LONGEST = 2000  # characters of a name or a value
_FURTHEST = 10 * 365 * 86_400 * 10**9  # [ns]

Key = tuple[str, int]  # a name, and the stamp of the message that asked; 0 if none did


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A value and when it was asked for [ns since 1970]; whether that is ``guessed``."""

    time: int
    value: str
    guessed: bool = False


class RunState:
    """Values by name. For one thread, but ``known`` may be read by any."""

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        self.known: Mapping[Key, Entry] = {}  # replaced, never changed
        self._clock = clock

    @property
    def entries(self) -> dict[str, Entry]:
        """What holds, by name."""
        newest: dict[str, Entry] = {}
        for (name, _), entry in self.known.items():
            newest[name] = max(entry, newest.get(name, entry))
        return newest

    def of(self, name: str) -> tuple[Entry, ...]:
        """All that is known to have been asked for under a name, the last one last."""
        return tuple(sorted(entry for (each, _), entry in self.known.items() if each == name))

    def value(self, name: str) -> str | None:
        """The value of a name; None if nothing was asked for."""
        found = self.of(name)
        return found[-1].value if found else None

    def ask(self, name: str, value: str, time: int | None = None, *, stamp: int = 0) -> bool:
        """Take a value that was asked for just now: later than all that is known, whatever the
        clocks say. One that may be from before, as of a ``time`` [ns since 1970], is judged by
        that. ``stamp`` [ns] is the message's that asks, if one does. Whether it is news.
        """
        now = self._clock()
        if time is None:
            same = (name, stamp) if stamp else None  # what is known of the message itself
            others = (entry.time for key, entry in self.known.items() if key != same)
            time = max(now, max(others, default=0) + 1)
            return self.merge([name], [value], [time], [stamp])
        # Whoever is ahead has not said it later than we hear it.
        return self.merge([name], [value], [min(time, now)], [stamp], [True])

    def merge(
        self,
        names: Sequence[str],
        values: Sequence[str],
        times: Sequence[int],
        stamps: Sequence[int] = (),
        guessed: Sequence[bool] = (),
    ) -> bool:
        """Take what another keeper knows; whether any of it is news. ``stamps`` are all 0 if there
        are none, and no time is ``guessed``. ValueError if the lengths differ.
        """
        found, latest = dict(self.known), self._clock() + _FURTHEST
        stamps = stamps if len(stamps) else [0] * len(names)
        guessed = guessed if len(guessed) else [False] * len(names)
        room = _MOST_ENTRIES - sum(not stamp for _, stamp in found)
        known = zip(names, values, times, stamps, guessed, strict=True)
        for name, value, at, stamp, is_guess in known:
            key, entry = (name, stamp), Entry(at, value, bool(is_guess))
            if len(name) > _LONGEST or len(value) > _LONGEST or at > latest:
                continue
            if stamp:
                found[key] = min(entry, found.get(key, entry), key=_credible)
            elif key in found or room > 0:
                room -= key not in found
                found[key] = max(entry, found.get(key, entry))
        found = _bounded(found)
        is_news = found != self.known
        self.known = found
        return is_news


def _credible(entry: Entry) -> tuple[bool, int, str]:
    """What is known goes before what is guessed, and what was heard earlier before the rest."""
    return entry.guessed, entry.time, entry.value


def _bounded(found: dict[Key, Entry]) -> dict[Key, Entry]:
    messages = sorted((entry, key) for key, entry in found.items() if key[1])
    for _, key in messages[:-_MOST_MESSAGES]:
        del found[key]
    return found

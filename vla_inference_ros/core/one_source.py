"""Which source a stream belongs to: the first that sends, until it has been silent for a while.

Two senders of one stream would give windows and views that are made of both. So there is one, and
what others send is refused. It is the first, since nobody can know which of two is the right one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SILENCE = 1.0  # after which another source may take the stream over [s]
_STANDSTILL = 0.5  # a thread that has not looked for longer has stood still [s]


@dataclass(frozen=True, slots=True)
class Source:
    """``host`` is whose clock its times are by; ``connection`` tells a program there from another
    one, and from itself after a restart. ``name`` is what people call it.
    """

    host: str
    connection: int
    name: str = field(default="", compare=False)


class Listening:
    """Since when this host has listened without standing still, by a thread that looks often."""

    def __init__(self, steady_time: float) -> None:
        self.since = self._looked = steady_time

    def look(self, steady_time: float) -> None:
        """The thread has come to where it waits for what comes, at most a moment ago."""
        if steady_time - self._looked > _STANDSTILL:
            self.since = steady_time
        self._looked = steady_time


class OneSource:
    """Of one stream; for one thread. ``owner`` is the source that it belongs to, ``other`` another
    one that has sent within the last second, the first of them if there are several.
    """

    def __init__(self) -> None:
        self.owner: Source | None = None
        self.other: Source | None = None
        self._heard = self._other_heard = 0.0

    def admits(self, source: Source, steady_time: float, listening_since: float) -> bool:
        """Whether an item that came from ``source`` at ``steady_time`` is the stream's. This host
        has listened ``listening_since`` [s] without standing still: what the owner has sent before
        may be read after this.
        """
        silent = steady_time - max(self._heard, listening_since) > SILENCE
        if source == self.owner or self.owner is None or silent:
            if source != self.owner:
                self.owner, self.other = source, None
            self._heard = steady_time
            return True
        if source == self.other or steady_time - self._other_heard > SILENCE:
            self.other, self._other_heard = source, steady_time
        return False

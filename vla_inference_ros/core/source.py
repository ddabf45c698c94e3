"""Who speaks on a topic or to a port: its one source, which a reader is bound to, and strangers
beside it.

Two sources of one input would give windows and views that are made of both. So there is one, and
what others say is refused. It is the first, since nobody can know which of two is the right one.

On a port it is a :class:`Sender`. On a topic it is known by a number: that of its process, which
this package's own messages carry, or, for messages of others, one that is told from the publishers'
own counts by :class:`Counts`. A process's number can be copied, as by who plays a recording of the
run beside it; a publisher's counts cannot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Who = TypeVar("Who", bound=Hashable)

QUIET = 1.0  # a source that has not spoken for longer speaks no more [s]
QUIET_NODE = 1.5  # nor does a node, which reports every second at least [s]
UNCOUNTED = 2**64 - 1  # the count of a message where the middleware counts none

# A stranger counts for longer than it takes a source to lose its place: on a busy machine one that
# speaks each second is now and then heard later, and must not come and go.
_LINGERS = 1.5
_FASTEST = 120.0  # messages a second of a publisher that is hardly known
_SLACK = 3  # messages; times and counts do not fit exactly
_REMEMBERED = 10.0  # a publisher, after its last message [s]
_MOST_STRANGERS = 100  # who invents a name for each message must not fill the memory
_STANDSTILL = 0.5  # a thread that has not looked for longer has stood still [s]


@dataclass(frozen=True, slots=True)
class Sender:
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
        """The thread runs now, or did a moment ago."""
        if steady_time - self._looked > _STANDSTILL:
            self.since = steady_time
        self._looked = steady_time


class Source(Generic[Who]):
    """Binds its reader to the first who speaks, until that has been quiet for a while; then to the
    next. For one thread.
    """

    def __init__(
        self,
        quiet: float = QUIET,
        *,
        allow_several: bool = False,
        listening: Listening | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With ``allow_several`` all are admitted and nobody is a stranger. ``quiet`` is in [s],
        and counts only while the reader's thread has been ``listening``: what the source said
        before may be read after what others say now.
        """
        self.bound: Who | None = None
        self._quiet, self._allow_several, self._clock = quiet, allow_several, clock
        self._listening = listening
        self._spoke = 0.0  # when the source did
        self._strangers: dict[Who, float] = {}  # when each spoke

    def admit(self, who: Who, *, stands_by: bool = False) -> bool:
        """Whether what ``who`` says now is to be taken. One that only ``stands_by`` is heard while
        no other speaks, and is nobody's rival.
        """
        now = self._now()
        if stands_by:
            return who == self.bound or self._is_free(now) or self._allow_several
        if who != self.bound and not self._allow_several and not self._is_free(now):
            self._note_stranger(who, now)
            return False
        if who != self.bound:
            self.bound = who
            self._strangers.pop(who, None)
        self._spoke = now
        return True

    def strangers(self) -> list[Who]:
        """Who else speaks, while the source does, in the order in which they began: there must be
        one alone.
        """
        if self._strangers:
            now = self._now()
            self._forget_gone(now)
            if self._is_free(now):  # it was the last word of who has gone
                return []
        return list(self._strangers)

    def forget(self) -> None:
        """Start over, as after a pause."""
        self.bound = None
        self._strangers.clear()

    def _now(self) -> float:
        now = self._clock()
        if self._listening is not None:
            self._listening.look(now)
        return now

    def _is_free(self, now: float) -> bool:
        heard = self._spoke if self._listening is None else max(self._spoke, self._listening.since)
        return self.bound is None or now - heard > self._quiet

    def _note_stranger(self, who: Who, now: float) -> None:
        if len(self._strangers) >= _MOST_STRANGERS:
            self._forget_gone(now)
        if who in self._strangers or len(self._strangers) < _MOST_STRANGERS:
            self._strangers[who] = now

    def _forget_gone(self, now: float) -> None:
        since = now - _LINGERS * self._quiet
        self._strangers = {who: at for who, at in self._strangers.items() if at >= since}


class Namesakes:
    """Nodes that report under one name: of each name one is the node, the others are strangers."""

    def __init__(
        self, *, allow_several: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allow_several, self._clock = allow_several, clock
        self._sources: dict[str, Source[int]] = {}

    def of(self, name: str) -> Source[int]:
        """The source of what the node of a name says."""
        if name not in self._sources:
            self._sources[name] = Source(
                QUIET_NODE, allow_several=self._allow_several, clock=self._clock
            )
        return self._sources[name]

    def conflict(self) -> str:
        """Which of the nodes are there more than once, in plain words; '' if none is."""
        twice = [name for name, source in self._sources.items() if source.strangers()]
        if not twice:
            return ""
        return f"more than one {', '.join(twice)} in this ROS domain: does another graph run?"


@dataclass(slots=True)
class _Track:
    """One publisher, as its counts tell: the first and the newest, and when they came."""

    first: int
    began: float
    newest: int
    at: float

    def follows(self, number: int, now: float) -> bool:
        """Whether a message can be one of this publisher's, as fast as it has been so far."""
        known = self.at - self.began
        rate = (self.newest - self.first) / known if known > QUIET else _FASTEST
        return 0 < number - self.newest <= 2.0 * rate * (now - self.at) + _SLACK


class Counts:
    """Tells publishers apart that carry no number of their own: each counts its messages."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._named = 0

    def who(self, count: int, now: float, *, is_alone: bool) -> int:
        """The publisher of a message with this count, which came at ``now`` [s].

        Where a topic has a single publisher, ``is_alone``, that may be as fast as it likes.
        """
        if count == UNCOUNTED:
            return 0
        self._tracks = {
            who: track for who, track in self._tracks.items() if now - track.at <= _REMEMBERED
        }
        ahead = {
            who: count - track.newest
            for who, track in self._tracks.items()
            if track.follows(count, now) or (is_alone and count > track.newest)
        }
        if ahead:
            who = min(ahead, key=lambda each: ahead[each])
            track = self._tracks[who]
            track.newest, track.at = count, now
            return who
        self._named += 1
        self._tracks[self._named] = _Track(count, now, count, now)
        return self._named

    def stay(self, who: int, now: float) -> None:
        """A publisher is still there at ``now`` [s], though it says nothing."""
        if who in self._tracks:
            self._tracks[who].at = now

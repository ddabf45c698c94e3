"""Counts what a stream accepts and refuses, and says when a refusal is worth a log line."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

# Between two warnings of one kind [s]: the first wait, doubled each time up to the longest.
FIRST_WAIT, LONGEST_WAIT = 5.0, 60.0
MOST_KINDS = 100  # kinds beyond these share one wait, lest a sender's ever new names fill the log
_OTHER_KINDS = ""


class WarningLimiter:
    """Lets a warning of each kind through at once, then ever more rarely while it goes on."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[str, tuple[float, float]] = {}

    def due(self, kind: str) -> bool:
        """Whether to warn now; if so, the next one of this kind has to wait."""
        now = self._clock()
        if kind not in self._next and len(self._next) >= MOST_KINDS:
            kind = _OTHER_KINDS
        due, wait = self._next.get(kind, (now, FIRST_WAIT))
        if now < due:
            return False
        if now > due + LONGEST_WAIT:  # quiet for long: start over
            wait = FIRST_WAIT
        self._next[kind] = (now + wait, min(2 * wait, LONGEST_WAIT))
        return True


@dataclass(frozen=True, slots=True)
class TallyReading:
    """A tally at one instant. ``newest_time`` is an acquisition time [Unix s], 0 when none came;
    ``oddities`` are counts of what was odd about items that were good.
    """

    accepted: int
    ignored: int
    newest_time: float
    problems: dict[str, int]
    oddities: dict[str, int] = field(default_factory=dict)

    @property
    def rejected(self) -> int:
        """All problems together."""
        return sum(self.problems.values())


class Tally:
    """The counts of one stream; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._accepted = 0
        self._ignored = 0
        self._newest_time = 0.0
        self._problems: Counter[str] = Counter()
        self._oddities: Counter[str] = Counter()

    def accept(self, newest_time: float, count: int = 1) -> None:
        """Count good items, the newest of which was acquired at ``newest_time`` [Unix s]."""
        with self._lock:
            self._accepted += count
            self._newest_time = newest_time

    def ignore(self) -> int:
        """Count an item that is not for us; returns how many there were."""
        with self._lock:
            self._ignored += 1
            return self._ignored

    def reject(self, kind: str, count: int = 1) -> int:
        """Count bad items of a kind; returns how many of it there were."""
        with self._lock:
            self._problems[kind] += count
            return self._problems[kind]

    def note(self, kind: str) -> int:
        """Count what is odd about a good item; returns how many there were."""
        with self._lock:
            self._oddities[kind] += 1
            return self._oddities[kind]

    def read(self) -> TallyReading:
        """The counts now."""
        with self._lock:
            return TallyReading(
                self._accepted,
                self._ignored,
                self._newest_time,
                dict(self._problems),
                dict(self._oddities),
            )

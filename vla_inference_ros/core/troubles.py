"""What is wrong right now: each trouble until it has not been seen for a while.

Owns the words for them. Knows nothing of counts: those are for ever, a trouble passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LASTS = 0.5  # a trouble is told for so long after it was seen last [s]

SILENT = "nothing comes"
LATE = "packets come late"
MISSING = "packets are missing"
OVERTAKEN = "packets overtake each other"
REPEATED = "packets are repeated"
CLOCK_STEP = "the clock stepped"
DAMAGED = "damaged picture"
CLOCK_LEARNING = "the clock is being learnt"
CLOCK_CONTRADICTED = "times contradict the clock"
BACKLOG = "a backlog comes in"
UNCHANGED = "pictures stay the same"
REPEATED_PICTURES = "old pictures come again"
BLANK = "pictures show nothing"
TWIN = "pictures are another view's"
RESIZED = "pictures have changed their size"
REPEATED_SCANS = "A-scans repeat"
WRONG_SOCKET = "wrong socket type"
OVERDUE = "does not come to an end"


def second_source(name: str) -> str:
    """Of a stream that is another source's, who sends too."""
    return f"{name} sends as well, and is refused"


def other_size(now: tuple[int, int], before: tuple[int, int]) -> str:
    """Of pictures that are ``now`` (width, height) [pixels], and were ``before``."""
    return f"{RESIZED} from {before[0]}x{before[1]} to {now[0]}x{now[1]}"


class Troubles:
    """The troubles of one stream. One thread may see them while another reads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lasting: dict[str, bool] = {}

    def see(self, what: str) -> None:
        """It happened now: it is told for ``LASTS`` seconds."""
        now = self._clock()
        if what not in self._until:  # those that name a source are ever new ones
            self._until = {each: until for each, until in self._until.items() if now < until}
        self._until[what] = now + LASTS

    def keep(self, what: str, on: bool) -> None:
        """It is so, or is no longer so, until this is called again."""
        if on:
            self._lasting[what] = True
        else:  # those that name sizes are ever new ones
            self._lasting.pop(what, None)

    def current(self) -> list[str]:
        """In plain words, in a steady order."""
        now = self._clock()
        momentary = {what for what, until in self._until.copy().items() if now < until}
        return sorted(momentary | self._lasting.copy().keys())

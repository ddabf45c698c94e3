"""How long a run goes on that is to end by itself: counted from its first action chunk, and not for
ever without one.
"""

from __future__ import annotations

import enum

# Beside the duration itself, in which somebody may still start a sender [s].
PATIENCE = 60.0  # with the first chunk, once the models are loaded
LONGEST_LOAD = 3600.0  # that models may take to load, which may mean to download them


class End(enum.Enum):
    """Why a run is to end."""

    NOT_YET = enum.auto()
    OVER = enum.auto()
    WITHOUT_CHUNK = enum.auto()


class RunLength:
    """Of a run of ``duration`` seconds, 0 for any, that began to start at ``now`` (monotonic s)."""

    def __init__(self, duration: float, now: float) -> None:
        self._duration = duration
        self._acted: float | None = None
        self._give_up = now + LONGEST_LOAD + duration
        self._loaded = False

    @property
    def lacks_chunk(self) -> bool:
        """Whether a duration was asked for, which has not begun."""
        return self._duration > 0 and self._acted is None

    def note_chunk(self, now: float) -> None:
        """The first one is what counts."""
        self._acted = now if self._acted is None else self._acted

    def note_loaded(self, now: float) -> None:
        """The models are loaded; said again, it changes nothing."""
        if not self._loaded:
            self._loaded = True
            self._give_up = now + PATIENCE + self._duration

    def end(self, now: float) -> End:
        """Whether it is to end now."""
        if self._duration <= 0:
            return End.NOT_YET
        if self._acted is None:
            return End.WITHOUT_CHUNK if now >= self._give_up else End.NOT_YET
        return End.OVER if now >= self._acted + self._duration else End.NOT_YET

"""How recorded time goes on while a recording is played."""

from __future__ import annotations


class RecordedTime:
    """Runs from ``start`` [ns since 1970] on, ``rate`` times as fast as the steady clock [s], by
    one equation, so that no error adds up.
    """

    def __init__(self, start: int, rate: float, steady_start: float) -> None:
        if not rate > 0.0:
            raise ValueError(f"rate is {rate}, not above 0")
        self._start, self._rate, self._steady_start = start, rate, steady_start
        self._latest = start

    def now(self, steady: float, limit: int) -> int:
        """The time [ns] at ``steady`` [s]; at most ``limit``, when the next thing is to happen
        that has not happened yet. It never goes back.
        """
        due = self._start + round((steady - self._steady_start) * self._rate * 1e9)
        self._latest = max(self._latest, min(due, limit))
        return self._latest

    def steady(self, stamp: int) -> float:
        """When it is ``stamp`` [ns], by the steady clock [s]."""
        return self._steady_start + (stamp - self._start) / 1e9 / self._rate

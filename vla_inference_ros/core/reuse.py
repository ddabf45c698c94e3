"""Counts how often the features of one VLM update have been used."""

from __future__ import annotations


class ReuseCounter:
    """``next_index`` gives 1, 2, 3, ... for one update id and starts over with another."""

    def __init__(self) -> None:
        self._update_id = 0
        self._uses = 0

    def next_index(self, update_id: int) -> int:
        """Count one more use of the features of ``update_id``."""
        self._uses = self._uses + 1 if update_id == self._update_id else 1
        self._update_id = update_id
        return self._uses

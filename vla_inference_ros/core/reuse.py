"""Counts how often the features of one VLM update have been used."""

from __future__ import annotations

from collections.abc import Hashable


class ReuseCounter:
    """Of the newest update only; another update, told by its key, starts over."""

    def __init__(self) -> None:
        self._key: Hashable = None
        self._uses = 0

    def uses(self, key: Hashable) -> int:
        """How often the features of this update have been used."""
        return self._uses if key == self._key else 0

    def count(self, key: Hashable) -> int:
        """Count one more use; returns how many there were with it: 1, 2, 3, ..."""
        self._uses = self.uses(key) + 1
        self._key = key
        return self._uses

"""Structured arrays that grow row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 14  # rows


class Rows:
    """Rows of one ``dtype``, kept in blocks, so that growing copies nothing."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._full: list[NDArray[Any]] = []
        self._block = np.empty(_BLOCK, dtype)
        self._used = 0

    def __len__(self) -> int:
        return sum(map(len, self._full)) + self._used

    def append(self, row: tuple[Any, ...]) -> None:
        """Add a row, a value for each field."""
        if self._used == len(self._block):
            self._full.append(self._block)
            self._block, self._used = np.empty(_BLOCK, self._dtype), 0
        self._block[self._used] = row
        self._used += 1

    def extend(self, rows: NDArray[Any]) -> None:
        """Add rows (n,) of the same ``dtype``."""
        while len(rows):
            if self._used == len(self._block):
                self._full.append(self._block)
                self._block, self._used = np.empty(_BLOCK, self._dtype), 0
            part = rows[: len(self._block) - self._used]
            self._block[self._used : self._used + len(part)] = part
            self._used += len(part)
            rows = rows[len(part) :]

    def array(self) -> NDArray[Any]:
        """All rows (n,)."""
        return np.concatenate([*self._full, self._block[: self._used]])

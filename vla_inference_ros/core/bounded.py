"""A table whose keys come from elsewhere, and which no sender can fill for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedTable(Generic[Key, Value]):
    """Values by key, of at most ``most`` keys. In a full one, a new key takes the place of the one
    that has been silent for longest, if that is ``patience`` [s] or more; or else it has none.
    """

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self._values: dict[Key, tuple[Value, float]] = {}  # the one heard of last stands last

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._values)

    def get(self, key: Key) -> Value | None:
        """The value of a key, if it has one."""
        found = self._values.get(key)
        return found[0] if found else None

    def put(self, key: Key, value: Value, now: float) -> bool:
        """Set the value of a key that is heard of ``now`` [monotonic s]; False if there is no place
        for it.
        """
        if self._values.pop(key, None) is None and len(self._values) >= self._most:
            silent = next(iter(self._values))
            if now - self._values[silent][1] < self._patience:
                return False
            del self._values[silent]
        self._values[key] = (value, now)
        return True

"""What has been received and not yet written: a queue that is bounded in bytes, not in entries."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Backlog(Generic[Entry]):
    """First in, first out, between the thread that reads and the one that writes."""

    def __init__(self, limit: int) -> None:
        """``limit`` [bytes] is what may wait."""
        self._limit = limit
        self._entries: deque[tuple[Entry, int]] = deque()
        self._bytes = 0
        self._most = 0
        self._changed = threading.Condition()

    @property
    def most_bytes(self) -> int:
        """The most that has ever waited."""
        return self._most

    def put(self, entry: Entry, size: int, share: float = 1.0) -> bool:
        """Add an entry of ``size`` bytes; False, and nothing is added, if with it more than
        ``share`` of the limit would wait.
        """
        with self._changed:
            if self._bytes + size > share * self._limit:
                return False
            self._entries.append((entry, size))
            self._bytes += size
            self._most = max(self._most, self._bytes)
            self._changed.notify()
            return True

    def take(self, timeout: float) -> Entry | None:
        """The oldest entry; None if there is none within ``timeout`` [s]."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._entries, timeout):
                return None
            entry, size = self._entries.popleft()
            self._bytes -= size
            return entry

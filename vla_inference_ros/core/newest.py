"""Hands items from a thread that must not wait to one that may lag behind: the newest are kept."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class NewestItems(Generic[Item]):
    """Items of several sources, at most ``most`` of each wait. One that has no room puts the oldest
    of its own source out, never another source's.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[str, deque[Item]] = {}
        self._turns: deque[str] = deque()  # whose item is next: one turn for each that waits
        self._change = threading.Condition()

    def put(self, source: str, item: Item) -> bool:
        """Add an item; whether an older one had to go."""
        with self._change:
            waiting = self._waiting.setdefault(source, deque())
            dropped = len(waiting) >= self._most
            if dropped:
                waiting.popleft()
            else:
                self._turns.append(source)
            waiting.append(item)
            self._change.notify()
            return dropped

    def take(self, timeout: float) -> Item | None:
        """The next item, in the order in which they came but for those put out; None if none comes
        within ``timeout`` seconds.
        """
        with self._change:
            if not self._turns and not self._change.wait_for(lambda: self._turns, timeout):
                return None
            return self._waiting[self._turns.popleft()].popleft()

"""Reads what comes next while the present is being sent, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

_LOOK_PERIOD = 0.1  # how often the thread looks whether it should stop [s]


@dataclass(frozen=True, slots=True)
class _End:
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class _Next(Generic[Item]):
    item: Item


@contextmanager
def read_ahead(items: Iterable[Item], most: int) -> Iterator[Iterator[Item]]:
    """The items in their order, of which up to ``most`` are held ready. What their reading raises
    comes when its turn has come.
    """
    ready: queue.Queue[_Next[Item] | _End] = queue.Queue(most)
    stopping = threading.Event()

    def put(entry: _Next[Item] | _End) -> None:
        is_put = False
        while not is_put and not stopping.is_set():
            with suppress(queue.Full):
                ready.put(entry, timeout=_LOOK_PERIOD)
                is_put = True

    def read() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(_Next(item))
                if stopping.is_set():
                    return
        except BaseException as raised:  # handed to whom it concerns
            error = raised
        put(_End(error))

    def taken() -> Iterator[Item]:
        while isinstance(entry := ready.get(), _Next):
            yield entry.item
        if entry.error is not None:
            raise entry.error

    thread = threading.Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        stopping.set()
        thread.join()

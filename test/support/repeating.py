"""Something that goes on in a thread while a test looks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeating(send: Callable[[], object], period: float) -> Iterator[None]:
    """Call a function every ``period`` seconds, in a thread."""
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(period):
            send()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()

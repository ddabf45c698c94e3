"""A thread beside what is measured."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_thread(body: Callable[[threading.Event], None]) -> Iterator[None]:
    """``body`` runs meanwhile, until the event that it is given is set."""
    stop = threading.Event()
    thread = threading.Thread(target=body, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

"""A thread with one way in, one way out, and no way to die unnoticed."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs ``body(stopping)`` in a thread; the body returns soon after ``stopping`` is set.

    An exception that the body lets out, or its return before it was asked, is kept in ``error``,
    where the owner must look for it: a node whose worker has died ends, it does not go on serving
    old data.
    """

    def __init__(self, name: str, body: Callable[[threading.Event], None]) -> None:
        self._body = body
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        """Start the thread; once."""
        self._thread.start()

    def stop(self, timeout: float = 1.5) -> bool:
        """Ask the body to end and wait; False if it has not ended after ``timeout`` seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._body(self._stopping)
            if not self._stopping.is_set():
                raise RuntimeError(f"thread {self._thread.name!r} ended without being asked to")
        except BaseException as error:  # handed to the owner, which ends the node
            self.error = error

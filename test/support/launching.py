"""Runs a launcher as a subprocess, reads what it says and keeps hold of the nodes it started."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

TIMEOUT = 30.0  # until a condition that should come about soon has failed to [s]
STOP_TIME = 10.0  # in which all nodes are to have ended, or been killed: 5 s if all is well [s]


class Launch:
    """A running launcher, the lines that it has written, and handles of the nodes it started."""

    def __init__(
        self,
        command: Sequence[str],
        stdout: int = subprocess.PIPE,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.lines: list[str] = []
        self.nodes: dict[str, int] = {}  # process, by name
        self._handles: dict[int, int] = {}  # pidfd, by process, of those that have been seen alive
        self._queue: queue.Queue[str | None] = queue.Queue()
        if self.process.stdout is not None:
            self._reader = threading.Thread(target=self._read, args=(self.process.stdout,))
            self._reader.start()

    def wait_for(self, *patterns: str) -> list[str]:
        """Lines that match the patterns, from the next line on, in any order."""
        found: dict[str, str] = {}
        deadline = time.monotonic() + TIMEOUT
        while len(found) < len(patterns):
            try:
                line = self._queue.get(timeout=deadline - time.monotonic())
            except (queue.Empty, ValueError):
                line = None
            missing = [pattern for pattern in patterns if pattern not in found]
            assert line is not None, "\n".join(["none of", *missing, "in", *self.lines])
            found.update({p: line for p in missing if re.search(p, line)})
        return [found[pattern] for pattern in patterns]

    def end(self, stop: signal.Signals | None = None) -> int:
        """The exit status; with ``stop`` in the time that stopping may take. No node is left."""
        if stop is not None:
            self.process.send_signal(stop)
        status = self.process.wait(TIMEOUT if stop is None else STOP_TIME)
        self._reader.join()
        assert self.running_nodes() == []
        return status

    def running_nodes(self, patience: float = 0.0) -> list[str]:
        """The nodes that still run after ``patience`` seconds."""
        deadline = time.monotonic() + patience
        return [
            name
            for name, pid in self.nodes.items()
            if pid in self._handles and not self._ends(pid, deadline - time.monotonic())
        ]

    def clean_up(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self._reader.join()
        for pid, handle in self._handles.items():
            if not self._ends(pid, 0.0):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    def _ends(self, pid: int, timeout: float) -> bool:
        return bool(select.select([self._handles[pid]], [], [], max(0.0, timeout))[0])

    def _read(self, stream: IO[bytes]) -> None:
        for raw in stream:
            line = raw.decode().rstrip("\n")
            if match := re.fullmatch(r"\[vla-launch\] (?:re)?started (\S+), process (\d+)", line):
                pid = self.nodes[match[1]] = int(match[2])
                with contextlib.suppress(ProcessLookupError):  # it is gone already
                    self._handles[pid] = os.pidfd_open(pid)
            self.lines.append(line)
            self._queue.put(line)
        self._queue.put(None)

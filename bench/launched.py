"""The launched nodes and what is around them in a run: processes, their CPU and memory, ports."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import load

_START_LIMIT = 60.0  # until the first action [s]
_UP = {  # what a node says then
    "camera_bridge": "waiting for cameras on port",
    "vlm": "[vlm]: stub",
}
_TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """Bodies of ``load`` in processes of their own, and what they report when they end."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._results: load.Results = self._context.Queue()
        self._running: list[tuple[Any, Any]] = []
        self.reports: dict[str, Any] = {}

    def start(self, body: Callable[..., None], *arguments: Any) -> None:
        """Start one; it is stopped with all that were started since the last ``stop``."""
        stop = self._context.Event()
        process = self._context.Process(target=body, args=(*arguments, stop, self._results))
        process.start()
        self._running.append((process, stop))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for process, _ in self._running:  # those that an error has left running
            process.terminate()
            process.join()

    def stop(self) -> None:
        """Stop those that run and collect their reports."""
        for _, stop in self._running:
            stop.set()
        for _ in self._running:
            name, report = self._results.get(timeout=30)
            self.reports[name] = report
        for process, _ in self._running:
            process.join()
        self._running.clear()


class Launch:
    """The launched inference: what it prints goes to a file, its processes are known."""

    def __init__(self, arguments: Mapping[str, object], output: IO[bytes]) -> None:
        self._output = output
        self._killed = 0
        given = [f"{name}:={value}" for name, value in arguments.items()]
        launcher = Path(sys.executable).with_name("vla-launch")
        self._process = subprocess.Popen(
            [launcher, "async.launch.py", "model:=stub", *given],
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def text(self) -> str:
        """All that it has printed so far."""
        return Path(str(self._output.name)).read_text(encoding="utf-8")

    def wait_for_action(self) -> None:
        """Return once there is an action; SystemExit with the output if there is none."""
        deadline = time.monotonic() + _START_LIMIT
        while "[ACTION #" not in self.text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"no action:\n{self.text()}")
            time.sleep(0.2)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time of the launcher and of each node so far."""
        own = {"vla-launch": cpu_seconds_of(self._process.pid)}
        return own | {name: cpu_seconds_of(pid) for name, pid in self._nodes()}

    def freeze(self, node: str) -> None:
        """Have a node stand still."""
        os.kill(self.process_of(node), signal.SIGSTOP)

    def kill(self, node: str) -> None:
        """Kill a node, which the launcher may start again."""
        os.kill(self.process_of(node), signal.SIGKILL)
        self._killed += 1

    def replace(self, node: str) -> float:
        """Kill a node, which the launcher starts again, and return when the new one is up: when
        that was [Unix s].
        """
        before = self.text().count(_UP[node])
        self.kill(node)
        deadline = time.monotonic() + _START_LIMIT
        while self.text().count(_UP[node]) == before:
            if time.monotonic() > deadline:
                raise SystemExit(f"{node} has not been started again")
            time.sleep(0.02)
        return time.time()

    def died(self) -> int:
        """How many nodes have died that were not killed."""
        return self.text().count(" died: ") - self._killed

    def process_of(self, node: str) -> int:
        """The process of a node, the newest if it was started again."""
        return next(int(pid) for name, pid in reversed(self._nodes()) if name == node)

    def _nodes(self) -> list[tuple[str, str]]:
        return re.findall(r"started (\S+)-\d+, process (\d+)", self.text())

    def memory(self) -> dict[str, float]:
        """Resident memory of each node [MB]."""
        return {name: _resident(pid) for name, pid in self._nodes()}

    def stop(self) -> int:
        """Ctrl+C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=20)


def cpu_seconds_of(pid: int | str) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def free_ports() -> dict[str, int]:
    """Ports that nothing uses now; who binds them next may take them."""
    kinds = {
        "camera_port": socket.SOCK_STREAM,
        "robot_port": socket.SOCK_STREAM,
        "sensor_port": socket.SOCK_DGRAM,
    }
    with ExitStack() as stack:
        ports = {}
        for name, kind in kinds.items():
            made = stack.enter_context(socket.socket(socket.AF_INET, kind))
            made.bind(("127.0.0.1", 0))
            ports[name] = made.getsockname()[1]
        return ports

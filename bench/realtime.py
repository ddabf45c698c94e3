"""Times the whole inference on real sockets at full rate: jitter, losses, ages, CPU.

Prints each figure beside its limit, quiet and with one core kept busy by another process, and the
jitter beside that of a bare absolute-schedule loop in the same run, which is the machine's own
noise. The model is the stub, so that the figures are those of everything but the networks. Exit
status 1 if a limit is not kept.

    .venv/bin/python bench/realtime.py [--seconds 60]
"""

from __future__ import annotations

import argparse
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
import numpy as np
from report import Row, show

_WARM_UP = 5.0  # after the first action, before the measurement [s]
_START_LIMIT = 60.0  # until the first action [s]
_MEMORY_SETTLES = 60.0  # when all buffers and statistics have their full length [s]
_MEMORY_LIMIT = 5.0  # that a node may grow by afterwards [MB]
_DRAIN = 1.0  # for what is on its way when the senders stop [s]
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
        own = {"vla-launch": _cpu_seconds(self._process.pid)}
        return own | {name: _cpu_seconds(pid) for name, pid in self._nodes()}

    def _nodes(self) -> list[tuple[str, str]]:
        return re.findall(r"started (\S+)-\d+, process (\d+)", self.text())

    def memory(self) -> dict[str, float]:
        """Resident memory of each node [MB]."""
        return {name: _resident(pid) for name, pid in self._nodes()}

    def stop(self) -> int:
        """Ctrl+C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(timeout=20)


def _cpu_seconds(pid: int | str) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _resident(pid: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
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


def measure(seconds: float, busy: bool, log: Path) -> list[Row]:
    """One run of ``seconds`` after the warm-up; the nodes' output goes to ``log``."""
    ports = free_ports()
    with Processes() as senders, Processes() as listeners, log.open("wb") as output:
        listeners.start(load.listen_to_streams)
        listeners.start(load.listen_to_actions)
        listeners.start(load.ordinary_loop)
        listeners.start(load.realtime_loop)
        if busy:
            listeners.start(load.busy_core)
        launch = Launch(ports, output)
        senders.start(load.send_cameras, ports["camera_port"])
        senders.start(load.send_robot, ports["robot_port"])
        senders.start(load.send_sensor, ports["sensor_port"])
        launch.wait_for_action()
        time.sleep(_WARM_UP)
        began, began_unix, cpu = time.monotonic(), time.time(), launch.cpu_seconds()
        time.sleep(min(seconds, _MEMORY_SETTLES))
        memory = launch.memory()
        time.sleep(max(0.0, seconds - _MEMORY_SETTLES))
        ended, cpu_end, memory_end = time.monotonic(), launch.cpu_seconds(), launch.memory()
        senders.stop()
        time.sleep(_DRAIN)
        status = launch.stop()
        listeners.stop()
    rows = [
        *_timing(listeners.reports, began, ended, busy),
        *_losses(senders.reports, listeners.reports["streams received"], began_unix),
    ]
    by_node = {name: (cpu_end[name] - cpu[name]) / (ended - began) for name in cpu}
    cores = sum(by_node.values())
    rows.append(Row("CPU of all our processes [cores]", f"{cores:.3f}", "< 0.5", cores < 0.5))
    rows += [Row(f"  {name}", f"{share:.3f}") for name, share in by_node.items()]
    if seconds > _MEMORY_SETTLES:
        grown = {name: memory_end[name] - memory[name] for name in memory}
        most = max(grown, key=lambda name: grown[name])
        kept = grown[most] < _MEMORY_LIMIT
        rows.append(
            Row("most memory grown by a node [MB]", f"{grown[most]:.2f} ({most})", "< 5", kept)
        )
    rows.append(Row("exit status", str(status), "0", status == 0))
    return rows


def _timing(reports: dict[str, Any], began: float, ended: float, busy: bool) -> list[Row]:
    actions: load.Actions = reports["actions"]
    arrivals = np.array(actions.arrivals)
    inside = (arrivals >= began) & (arrivals <= ended)
    chunk_ids = np.array(actions.chunk_ids)[inside]
    rate = (inside.sum() - 1) / np.ptp(arrivals[inside])
    jitter = _jitter(np.array(actions.received)[inside])
    published = _jitter(np.array(actions.published)[inside])
    called_back = _jitter(arrivals[inside])
    updates = [t for t in actions.updates if began <= t <= ended]
    update_rate = (len(updates) - 1) / (updates[-1] - updates[0])
    sensor_age = float(np.median(np.array(actions.sensor_ages)[inside])) * 1e3
    feature_age = float(np.median(np.array(actions.feature_ages)[inside])) * 1e3
    lost = int(np.ptp(chunk_ids)) + 1 - len(chunk_ids)
    limit = 4.0 if busy else 1.0
    return [
        Row("action rate [Hz]", f"{rate:.4f}", "10.00 +/- 0.02", abs(rate - 10.0) <= 0.02),
        Row(
            "p99 |period - 100 ms| on arrival [ms]",
            f"{jitter[99]:.3f}",
            f"<= {limit:g}",
            jitter[99] <= limit,
        ),
        Row("  p50 / max of it [ms]", f"{jitter[50]:.3f} / {jitter[100]:.3f}"),
        Row("  p99 when published [ms]", f"{published[99]:.3f}"),
        Row("  p99 in a Python listener's callback [ms]", f"{called_back[99]:.3f}"),
        *_noise("ordinary loop", reports, began, ended, jitter[99]),
        *_noise("realtime loop", reports, began, ended, jitter[99]),
        Row("action chunks lost", f"{lost} of {len(chunk_ids) + lost}", "0", lost == 0),
        *_degraded(actions, began, ended),
        Row("VL updates [Hz]", f"{update_rate:.3f}", ">= 2.4", update_rate >= 2.4),
        Row(
            "newest sample at an action, median [ms]",
            f"{sensor_age:.1f}",
            "<= 40",
            sensor_age <= 40,
        ),
        Row("oldest image at an action, median [ms]", f"{feature_age:.0f}"),
    ]


def _degraded(actions: load.Actions, began: float, ended: float) -> list[Row]:
    reasons = [reason for arrival, reason in actions.degraded if began <= arrival <= ended]
    rows = [Row("action chunks not OK", str(len(reasons)), "0", not reasons)]
    return rows + [Row(f"  {reason[:60]}", "") for reason in sorted(set(reasons))[:5]]


def _noise(
    loop: str, reports: dict[str, Any], began: float, ended: float, jitter: float
) -> list[Row]:
    """The jitter of a bare loop in the same run, and ours over it."""
    ticks = np.array(reports[loop])
    name = f"  p99 of a bare {loop} [ms]"
    if not ticks.size:
        return [Row(name, "not allowed here")]
    noise = _jitter(ticks[(ticks >= began) & (ticks <= ended)])[99]
    return [Row(name, f"{noise:.3f} (ratio {jitter / noise:.1f})")]


def _jitter(times: Any) -> dict[int, float]:
    """Percentiles of |period - nominal| [ms]; 100 is the largest."""
    deviation = np.abs(np.diff(times) - load.ACTION_PERIOD) * 1e3
    return {q: float(np.percentile(deviation, q)) for q in (50, 99, 100)}


def _losses(sent: dict[str, list[load.Item]], received: list[load.Item], began: float) -> list[Row]:
    """What was sent from ``began`` on and is on no topic.

    Stamps are by our clock, in which a sender's time comes out some tenths of a millisecond later.
    """
    stamps: dict[str, list[float]] = {}
    for stream, stamp in received:
        stamps.setdefault(stream, []).append(stamp)
    known = {stream: np.sort([-np.inf, *times, np.inf]) for stream, times in stamps.items()}
    rows = []
    for name, what, close in (
        ("cameras sent", "frames", 4e-3),
        ("robot sent", "robot packets", 4e-3),
        ("sensor sent", "samples", 2e-6),
    ):
        items = [item for item in sent[name] if item[1] >= began]
        lost = 0
        for stream in {stream for stream, _ in items}:
            times = np.array([time for other, time in items if other == stream])
            at = np.searchsorted(known[stream], times)
            gap = np.minimum(known[stream][at] - times, times - known[stream][at - 1])
            lost += int((gap > close).sum())
        rows.append(Row(f"{what} lost", f"{lost} of {len(items)}", "0", lost == 0 and bool(items)))
    return rows


def main() -> int:
    """Measure quiet and busy, print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each measurement")
    parser.add_argument(
        "--log", type=Path, default=Path("/tmp"), help="folder for the nodes' output"
    )
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "99")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    kept = True
    for busy in (False, True):
        title = "one core busy" if busy else "quiet"
        log = arguments.log / f"realtime_{'busy' if busy else 'quiet'}.log"
        rows = measure(arguments.seconds, busy, log)
        title = f"{title}, {arguments.seconds:g} s, {os.cpu_count()} cores (output: {log})"
        kept = show(title, rows) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

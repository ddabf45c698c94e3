"""A run of the whole inference at full rate on real sockets, and the rhythm of its action loop.

Owns starting and stopping senders, listeners and the launched nodes, and what is measured while
all of them run. The model is the stub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import numpy as np
from launched import Launch, Processes, free_ports
from report import Row

_WARM_UP = 5.0  # after the first action, before the measurement [s]
_DRAIN = 1.0  # for what is on its way when the senders stop [s]
_LISTENERS: tuple[tuple[Any, ...], ...] = ((load.listen_to_actions,), (load.realtime_loop,))


@dataclass(frozen=True, slots=True)
class Running:
    """What runs; ``senders`` and ``listeners`` have their reports once it is stopped."""

    senders: Processes
    listeners: Processes
    launch: Launch

    def stop(self) -> int:
        """Stop the senders, then the launch, then the listeners; the launch's exit status."""
        self.senders.stop()
        time.sleep(_DRAIN)
        status = self.launch.stop()
        self.listeners.stop()
        return status


@contextmanager
def started(
    arguments: Mapping[str, object], log: Path, *listeners: tuple[Any, ...]
) -> Iterator[Running]:
    """All of it, warmed up. A listener is a body of ``load`` and its arguments; what the nodes
    print goes to ``log``.
    """
    ports = free_ports()
    with Processes() as senders, Processes() as listening, log.open("wb") as output:
        for body, *given in listeners:
            listening.start(body, *given)
        launch = Launch({**ports, **arguments}, output)
        try:
            senders.start(load.send_cameras, ports["camera_port"])
            senders.start(load.send_robot, ports["robot_port"])
            senders.start(load.send_sensor, ports["sensor_port"])
            launch.wait_for_action()
            time.sleep(_WARM_UP)
            yield Running(senders, listening, launch)
        finally:
            launch.stop()  # harmless once it has ended


@dataclass(frozen=True, slots=True)
class Run:
    """What was measured from ``began`` to ``ended`` [monotonic s]; ``began_unix`` [Unix s].

    ``reports`` are those of the senders and listeners by name, ``cpu`` [cores] is by node,
    ``status`` the launch's exit status.
    """

    reports: Mapping[str, Any]
    cpu: Mapping[str, float]
    began: float
    ended: float
    began_unix: float
    status: int

    def is_inside(self, times: Any) -> Any:
        """Which of some times [monotonic s] are within the measurement: an array of bools."""
        return (np.array(times) >= self.began) & (np.array(times) <= self.ended)

    def jitter(self) -> dict[int, float]:
        """Percentiles of |period - 100 ms| of the action chunks on arrival [ms]."""
        actions: load.Actions = self.reports["actions"]
        return jitter_of(np.array(actions.received)[self.is_inside(actions.arrivals)])

    def noise(self) -> float | None:
        """The same of a bare real-time loop, the 99th percentile; None where it is not allowed."""
        return noise_of(self.reports["realtime loop"], self.began, self.ended)


def measure(
    seconds: float,
    arguments: Mapping[str, object],
    log: Path,
    *listeners: tuple[Any, ...],
    beside: Sequence[tuple[Any, ...]] = (),
) -> Run:
    """One run, with these listeners besides those to the actions and the bare real-time loop, and
    ``beside`` what begins to run once all is warmed up.
    """
    with started(arguments, log, *_LISTENERS, *listeners) as running:
        for body, *given in beside:
            running.listeners.start(body, *given)
        if beside:
            time.sleep(_WARM_UP)
        began, began_unix, cpu = time.monotonic(), time.time(), running.launch.cpu_seconds()
        time.sleep(seconds)
        ended, cpu_end = time.monotonic(), running.launch.cpu_seconds()
        status = running.stop()
    return Run(
        reports={**running.senders.reports, **running.listeners.reports},
        cpu={name: (cpu_end[name] - cpu[name]) / (ended - began) for name in cpu},
        began=began,
        ended=ended,
        began_unix=began_unix,
        status=status,
    )


def action_rows(run: Run, limit: float | None = None) -> list[Row]:
    """The action loop's jitter beside the machine's own; ``limit`` [ms] is of its p99."""
    jitter, noise = run.jitter(), run.noise()
    actions: load.Actions = run.reports["actions"]
    degraded = run.is_inside([arrival for arrival, _ in actions.degraded]).sum()
    beside = "not allowed here" if noise is None else f"{noise:.3f} (x {jitter[99] / noise:.1f})"
    return [
        Row(
            "p99 |period - 100 ms| on arrival [ms]",
            f"{jitter[99]:.3f}",
            "" if limit is None else f"<= {limit:.3f}",
            None if limit is None else jitter[99] <= limit,
        ),
        Row("  p50 / max of it [ms]", f"{jitter[50]:.3f} / {jitter[100]:.3f}"),
        Row("  p99 of a bare realtime loop [ms]", beside),
        Row("action chunks not OK", f"{degraded} of {run.is_inside(actions.arrivals).sum()}"),
    ]


def cost_rows(run: Run, shown: Callable[[str], bool] = lambda node: True) -> list[Row]:
    """The CPU of all, and of the nodes that are ``shown``, and how the launch ended."""
    return [
        Row("CPU of all our processes [cores]", f"{sum(run.cpu.values()):.3f}"),
        *(Row(f"  {node}", f"{share:.3f}") for node, share in run.cpu.items() if shown(node)),
        Row("exit status", str(run.status), "0", run.status == 0),
    ]


def noise_of(loop: list[float], began: float, ended: float) -> float | None:
    """The 99th percentile of a bare loop's jitter [ms]; None where the system refused it."""
    ticks = np.array(loop)
    return jitter_of(ticks[(ticks >= began) & (ticks <= ended)])[99] if ticks.size else None


def jitter_of(times: Any) -> dict[int, float]:
    """Percentiles of |period - nominal| [ms] of some times [s]; 100 is the largest."""
    deviation = np.abs(np.diff(times) - load.ACTION_PERIOD) * 1e3
    return {q: float(np.percentile(deviation, q)) for q in (50, 99, 100)}

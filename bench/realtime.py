"""Times the whole inference on real sockets at full rate: jitter, losses, ages, CPU.

Prints each figure beside its limit, quiet and with one core kept busy by another process. The limit
of the jitter is by that of a bare real-time loop in the same run, which is the machine's own
noise. The model is the stub, so that the figures are those of everything but the networks. Exit
status 1 if a limit is not kept.

    .venv/bin/python bench/realtime.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import load
import numpy as np
from full_rate import jitter_of, noise_of, started
from losses import lost_items
from report import Row, show

_MEMORY_SETTLES = 60.0  # when all buffers and statistics have their full length [s]
_MOST_JITTER = 3.0  # of its 99th percentile when published, over the bare loop's
_LEAST_JITTER = 0.3  # what no limit is under [ms]
_ORDINARY_JITTER = 4.0  # the limit where the system refuses real-time priority [ms]
_MEMORY_LIMIT = 5.0  # that a node may grow by afterwards [MB]
# What a stamp by our clock may differ by from its sender's time, which is the same clock's [s].
_CLOSE = {"frames": 4e-3, "robot packets": 4e-3, "samples": 2e-6}


def measure(seconds: float, busy: bool, log: Path) -> list[Row]:
    """One run of ``seconds`` after the warm-up; the nodes' output goes to ``log``."""
    bodies = [load.listen_to_streams, load.listen_to_actions, load.ordinary_loop]
    bodies += [load.realtime_loop, *([load.busy_core] if busy else [])]
    with started({}, log, *((body,) for body in bodies)) as running:
        launch = running.launch
        began, began_unix, cpu = time.monotonic(), time.time(), launch.cpu_seconds()
        time.sleep(min(seconds, _MEMORY_SETTLES))
        memory = launch.memory()
        time.sleep(max(0.0, seconds - _MEMORY_SETTLES))
        ended, cpu_end, memory_end = time.monotonic(), launch.cpu_seconds(), launch.memory()
        status = running.stop()
    heard = running.listeners.reports
    rows = [
        *_timing(heard, began, ended),
        *lost_items(running.senders.reports, heard["streams received"], began_unix, _CLOSE),
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


def _timing(reports: dict[str, Any], began: float, ended: float) -> list[Row]:
    actions: load.Actions = reports["actions"]
    arrivals = np.array(actions.arrivals)
    inside = (arrivals >= began) & (arrivals <= ended)
    chunk_ids = np.array(actions.chunk_ids)[inside]
    rate = (inside.sum() - 1) / np.ptp(arrivals[inside])
    jitter = jitter_of(np.array(actions.received)[inside])
    published = jitter_of(np.array(actions.published)[inside])
    called_back = jitter_of(arrivals[inside])
    updates = [t for t in actions.updates if began <= t <= ended]
    update_rate = (len(updates) - 1) / (updates[-1] - updates[0])
    sensor_age = float(np.median(np.array(actions.sensor_ages)[inside])) * 1e3
    feature_age = float(np.median(np.array(actions.feature_ages)[inside])) * 1e3
    lost = int(np.ptp(chunk_ids)) + 1 - len(chunk_ids)
    noise = {
        name: noise_of(reports[f"{name} loop"], began, ended) for name in ("realtime", "ordinary")
    }
    if noise["realtime"] is not None:
        limit = max(_MOST_JITTER * noise["realtime"], _LEAST_JITTER)
    else:
        limit = _ORDINARY_JITTER
    return [
        Row("action rate [Hz]", f"{rate:.4f}", "10.00 +/- 0.02", abs(rate - 10.0) <= 0.02),
        Row(
            "p99 |period - 100 ms| when published [ms]",
            f"{published[99]:.3f}",
            f"<= {limit:.3f}",
            published[99] <= limit,
        ),
        Row("  p50 / max of it [ms]", f"{published[50]:.3f} / {published[100]:.3f}"),
        Row("  p99 on arrival [ms]", f"{jitter[99]:.3f}"),
        Row("  p99 in a Python listener's callback [ms]", f"{called_back[99]:.3f}"),
        *(
            Row(
                f"  p99 of a bare {name} loop [ms]",
                f"{own:.3f} (ratio {published[99] / own:.1f})" if own else "not allowed here",
            )
            for name, own in noise.items()
        ),
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

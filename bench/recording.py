"""Saves and records the whole inference at full rate, and counts what is missing afterwards.

One run without and one with ``save_data:=true record:=true``: the action loop's jitter in both, and
of the second every frame, robot packet, sample and chunk that was sent and is not in the run
folder, or not in the bag. Exit status 1 if anything is lost, or if the jitter's 99th percentile
grew by more than 2 ms.

    .venv/bin/python bench/recording.py [--seconds 60] [--output /tmp]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import load
import numpy as np
from launched import Launch, Processes, free_ports
from losses import lost_items
from realtime import jitter_of
from report import Row, show

from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import Recording

_WARM_UP = 5.0  # after the first action [s]
_DRAIN = 1.0  # for what is on its way when the senders stop [s]
_MOST_GROWTH = 2.0  # of the jitter's 99th percentile [ms]
_CLOSE = dict.fromkeys(("frames", "robot packets", "samples"), 2e-6)  # two times of one thing [s]


def run(seconds: float, arguments: Mapping[str, object], log: Path) -> dict[str, Any]:
    """What senders and listener report of a run, with ``cpu`` [cores] by node, and when it
    ``began`` [Unix s].
    """
    ports = free_ports()
    with Processes() as senders, Processes() as listeners, log.open("wb") as output:
        listeners.start(load.listen_to_actions)
        listeners.start(load.realtime_loop)
        launch = Launch({**ports, **arguments}, output)
        senders.start(load.send_cameras, ports["camera_port"])
        senders.start(load.send_robot, ports["robot_port"])
        senders.start(load.send_sensor, ports["sensor_port"])
        launch.wait_for_action()
        time.sleep(_WARM_UP)
        began, began_unix, cpu = time.monotonic(), time.time(), launch.cpu_seconds()
        time.sleep(seconds)
        ended, cpu_end = time.monotonic(), launch.cpu_seconds()
        senders.stop()
        time.sleep(_DRAIN)
        status = launch.stop()
        listeners.stop()
    return {
        **senders.reports,
        **listeners.reports,
        "cpu": {name: (cpu_end[name] - cpu[name]) / (ended - began) for name in cpu},
        "began": began_unix,
        "inside": (began, ended),
        "status": status,
    }


def _jitter_rows(report: Mapping[str, Any], limit: float) -> list[Row]:
    """The jitter of the actions [ms] beside that of a bare loop; ``limit`` is its p99's."""
    began, ended = report["inside"]
    actions: load.Actions = report["actions"]
    arrivals = np.array(actions.arrivals)
    inside = (arrivals >= began) & (arrivals <= ended)
    jitter = jitter_of(np.array(actions.received)[inside])
    ticks = np.array(report["realtime loop"])
    rows = [
        Row(
            "p99 |period - 100 ms| on arrival [ms]",
            f"{jitter[99]:.3f}",
            f"<= {limit:.3f}" if np.isfinite(limit) else "",
            bool(jitter[99] <= limit) if np.isfinite(limit) else None,
        ),
        Row("  p50 / max of it [ms]", f"{jitter[50]:.3f} / {jitter[100]:.3f}"),
    ]
    if ticks.size:
        noise = jitter_of(ticks[(ticks >= began) & (ticks <= ended)])[99]
        rows.append(
            Row("  p99 of a bare realtime loop [ms]", f"{noise:.3f} (x {jitter[99] / noise:.1f})")
        )
    degraded = sum(began <= arrival <= ended for arrival, _ in actions.degraded)
    return [
        *rows,
        Row("action chunks not OK", f"{degraded} of {int(inside.sum())}"),
        Row("CPU of all our processes [cores]", f"{sum(report['cpu'].values()):.3f}"),
        *(Row(f"  {name}", f"{share:.3f}") for name, share in report["cpu"].items()),
        Row("exit status", str(report["status"]), "0", report["status"] == 0),
    ]


def _items(recording: Recording) -> Iterator[load.Item]:
    """Each thing that the senders sent, by its own time."""
    for frame in recording.frames():
        yield frame.view, frame.packet.timestamp
    for state in recording.states():
        yield "robot", state.packet.origin_time
    for samples in recording.samples():
        for stamp in samples.packet.times.tolist():
            yield "sensor", stamp


def _loss_rows(report: Mapping[str, Any], path: Path) -> list[Row]:
    recording = open_recording(path)
    saved = {result["chunk_id"] for result in recording.results()}
    began, ended = report["inside"]
    actions: load.Actions = report["actions"]
    heard = {
        chunk_id
        for chunk_id, arrival in zip(actions.chunk_ids, actions.arrivals, strict=True)
        if began <= arrival <= ended
    }
    lost = len(set(range(min(heard), max(heard) + 1)) - saved)
    return [
        *lost_items(report, _items(recording), report["began"], _CLOSE),
        Row("action chunks lost", f"{lost} of {len(heard)}", "0", lost == 0),
    ]


def _p99(report: Mapping[str, Any]) -> float:
    began, ended = report["inside"]
    arrivals = np.array(report["actions"].arrivals)
    inside = (arrivals >= began) & (arrivals <= ended)
    return jitter_of(np.array(report["actions"].received)[inside])[99]


def main() -> int:
    """Measure without and with, print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("/tmp"),
        help="where to record; the recording is removed",
    )
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "97")
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with tempfile.TemporaryDirectory(dir=arguments.output, prefix="recording_") as name:
        folder = Path(name)
        without = run(arguments.seconds, {}, folder / "without.log")
        saving = {"save_data": "true", "record": "true", "output_dir": folder}
        recorded = run(arguments.seconds, saving, folder / "with.log")
        what = f"{arguments.seconds:g} s, {os.cpu_count()} cores"
        kept = show(f"without recording, {what}", _jitter_rows(without, np.inf))
        kept &= show(
            f"save_data and record, {what}", _jitter_rows(recorded, _p99(without) + _MOST_GROWTH)
        )
        for pattern in ("async_inference_*", "bag_*"):
            (path,) = folder.glob(pattern)
            size = sum(file.stat().st_size for file in path.rglob("*")) / 1e6
            kept &= show(f"{pattern}, {size:.0f} MB", _loss_rows(recorded, path))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

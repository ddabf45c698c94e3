"""Saves and records the whole inference at full rate, and counts what is missing afterwards.

One run without and one with ``save_data:=true record:=true``: the action loop's jitter in both, and
of the second every frame, robot packet, sample and chunk that was sent and is not in the run
folder, or not in the bag. Then the second again beside one busy process a core, which is to lose
nothing either. Then, without real-time priority, beside more and more of other work until the first
picture is lost, which is named. Exit status 1 if a limit is not kept: anything lost but in those
last runs, an action rate that is not 10.00 Hz, or jitter of which the 99th percentile grew by more
than 2 ms and is over three times that of a bare real-time loop in the same run: a disk that is
written to keeps that waiting too.

    .venv/bin/python bench/recording.py [--seconds 60] [--step 15] [--output /tmp]
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import load
from full_rate import Run, action_rows, cost_rows, measure
from losses import lost_items
from report import Row, show

from vla_inference_ros.graph import share
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import Recording

_A_CORE = (1, 2, 4, 8)  # so many of the others
_MOST_GROWTH = 2.0  # of the jitter's 99th percentile [ms]
_MOST_JITTER = 3.0  # of it, over the bare loop's
_CLOSE = dict.fromkeys(("frames", "robot packets", "samples"), 2e-6)  # two times of one thing [s]

Listener = tuple[Any, ...]  # a body of load, and what it is given


def _items(recording: Recording) -> Iterator[load.Item]:
    """Each thing that the senders sent, by its own time."""
    for frame in recording.frames():
        yield frame.view, frame.packet.timestamp
    for state in recording.states():
        yield "robot", state.packet.origin_time
    for samples in recording.samples():
        for stamp in samples.packet.times.tolist():
            yield "sensor", stamp


def _loss_rows(run: Run, path: Path) -> list[Row]:
    recording = open_recording(path)
    saved = {result["chunk_id"] for result in recording.results()}
    actions: load.Actions = run.reports["actions"]
    heard = {
        chunk_id
        for chunk_id, arrival in zip(actions.chunk_ids, actions.arrivals, strict=True)
        if run.began <= arrival <= run.ended
    }
    lost = len(set(range(min(heard), max(heard) + 1)) - saved)
    return [
        *lost_items(run.reports, _items(recording), run.began_unix, _CLOSE),
        Row("action chunks lost", f"{lost} of {len(heard)}", "0", lost == 0),
    ]


def _rate_row(run: Run) -> Row:
    arrivals = [t for t in run.reports["actions"].arrivals if run.began <= t <= run.ended]
    rate = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])
    return Row("action rate [Hz]", f"{rate:.4f}", "10.00 +/- 0.02", abs(rate - 10.0) <= 0.02)


def _recorded(
    seconds: float, folder: Path, arguments: Mapping[str, object], *others: Listener
) -> tuple[Run, dict[str, list[Row]]]:
    """A run that is recorded twice, beside ``others``, and what is missing in each recording; these
    are removed.
    """
    saving = {"save_data": "true", "record": "true", "output_dir": folder, **arguments}
    run = measure(seconds, saving, folder / "with.log", beside=others)
    missing = {}
    for pattern in ("async_inference_*", "bag_*"):
        (path,) = folder.glob(pattern)
        size = sum(file.stat().st_size for file in path.rglob("*")) / 1e6
        missing[f"{pattern}, {size:.0f} MB"] = _loss_rows(run, path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return run, missing


def _first_loss(step: float, folder: Path) -> list[Row]:
    """Beside which work the first picture is lost, of each kind, without real-time priority."""
    file = folder / "ordinary.yaml"
    text = (share() / "config" / "async.yaml").read_text(encoding="utf-8")
    file.write_text(
        re.sub(r"realtime_priority: \d+", "realtime_priority: 0", text), encoding="utf-8"
    )
    rows = []
    kinds: dict[str, list[Listener]] = {
        "busy loops": [(load.busy_core,)],
        "short processes": [(load.short_processes,)],
        "memory traffic": [(load.memory_traffic,)],
        "disk writes": [(load.disk_writes, folder)],
    }
    kinds["each of these"] = [body for (body,) in kinds.values()]
    for name, bodies in kinds.items():
        for each in _A_CORE:
            others = bodies * (each * (os.cpu_count() or 1))
            run, missing = _recorded(step, folder, {"params_file": file}, *others)
            lost = [losses[0].value.split()[0] for losses in missing.values()]
            rate, told = _rate_row(run).value, " / ".join(lost)
            rows.append(Row(f"{name}, {each} a core: lost in folder / bag", f"{told} ({rate} Hz)"))
            print(f"  ... {rows[-1].name} {rows[-1].value}", flush=True)
            if any(count != "0" for count in lost):
                break
    return rows


def main() -> int:
    """Measure without and with, print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each run")
    parser.add_argument(
        "--step", type=float, default=15.0, help="length of the runs without priority; 0 for none"
    )
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
        cores = os.cpu_count() or 1
        what = f"{arguments.seconds:g} s, {cores} cores"
        without = measure(arguments.seconds, {}, folder / "without.log")
        kept = show(f"without recording, {what}", action_rows(without) + cost_rows(without))
        limit = without.jitter()[99] + _MOST_GROWTH
        for title, others in (
            ("save_data and record", ()),
            ("the same beside one busy process a core", [(load.busy_core,)] * cores),
        ):
            run, missing = _recorded(arguments.seconds, folder, {}, *others)
            own = max(limit, _MOST_JITTER * (run.noise() or 0.0))
            rows = [_rate_row(run), *action_rows(run, None if others else own), *cost_rows(run)]
            kept &= show(f"{title}, {what}", rows)
            for recording, losses in missing.items():
                kept &= show(f"  {recording}", losses)
        if arguments.step:
            rows = _first_loss(arguments.step, folder)
            show(f"without real-time priority, {arguments.step:g} s each", rows)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

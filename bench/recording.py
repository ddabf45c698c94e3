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
from collections.abc import Iterator
from pathlib import Path

import load
from full_rate import Run, action_rows, cost_rows, measure
from losses import lost_items
from report import Row, show

from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import Recording

_MOST_GROWTH = 2.0  # of the jitter's 99th percentile [ms]
_CLOSE = dict.fromkeys(("frames", "robot packets", "samples"), 2e-6)  # two times of one thing [s]


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
        without = measure(arguments.seconds, {}, folder / "without.log")
        saving = {"save_data": "true", "record": "true", "output_dir": folder}
        recorded = measure(arguments.seconds, saving, folder / "with.log")
        what = f"{arguments.seconds:g} s, {os.cpu_count()} cores"
        kept = show(f"without recording, {what}", action_rows(without) + cost_rows(without))
        limit = without.jitter()[99] + _MOST_GROWTH
        kept &= show(
            f"save_data and record, {what}", action_rows(recorded, limit) + cost_rows(recorded)
        )
        for pattern in ("async_inference_*", "bag_*"):
            (path,) = folder.glob(pattern)
            size = sum(file.stat().st_size for file in path.rglob("*")) / 1e6
            kept &= show(f"{pattern}, {size:.0f} MB", _loss_rows(recorded, path))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""``--to csv``: a recording as flat tables, a file for each kind of thing."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.export import tables
from vla_inference_ros.export.chunks import Chunk
from vla_inference_ros.export.new_folder import new_folder
from vla_inference_ros.export.progress import shown
from vla_inference_ros.export.walk import Item, walk
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.recording.odd import Leaving, OddError
from vla_inference_ros.recording.recording import Features, Recording
from vla_inference_ros.recording.run_folder import ROBOT_COLUMNS
from vla_inference_ros.recording.traffic import Received

ACTIONS, STATES, SENSOR = "actions.csv", "robot_state.csv", "sensor.csv"
FRAMES, FEATURES = "frames.csv", "features.csv"


def to_csv(recording: Recording, folder: Path, end: float | None, with_ascans: bool) -> list[str]:
    """Make ``folder`` with the five tables; what was done, a line each.

    A table of which the recording has nothing has its heading alone. Raises OutputError,
    RecordingError and OSError.
    """
    leaving = recording.odd.reading("exported things")
    with new_folder(folder) as new, ExitStack() as stack:
        new.mkdir()
        files = _Tables(new, stack, with_ascans, leaving)
        for item in shown(walk(recording), end):
            files.add(item)
        files.begin_all()
    rows = (f"{name} {files.rows[name]}" for name in (ACTIONS, STATES, SENSOR, FRAMES, FEATURES))
    return [f"{folder}, rows: {', '.join(rows)}"]


class _Tables:
    """The open tables. A heading is written before the first row, which may tell what it is."""

    def __init__(self, folder: Path, stack: ExitStack, with_ascans: bool, leaving: Leaving) -> None:
        self.rows: Counter[str] = Counter()
        self._leaving = leaving
        self._folder, self._stack, self._with_ascans = folder, stack, with_ascans
        self._points = -1  # of an A-scan
        self._writers: dict[str, Any] = {}

    def add(self, item: Item) -> None:
        if isinstance(item, Chunk):
            self._write(ACTIONS, tables.action_columns(item.names), tables.action_rows(item))
        elif isinstance(item, Features):
            row = self._leaving.made("a VLM update", tables.feature_row, item)
            self._write(FEATURES, tables.FEATURE_COLUMNS, [row] if row else [])
        elif isinstance(item.packet, CameraFrame):
            self._write(FRAMES, tables.FRAME_COLUMNS, [tables.frame_row(item)])
        elif isinstance(item.packet, RobotPacket):
            self._write(STATES, ROBOT_COLUMNS, [tables.state_row(item)])
        else:
            self._write_samples(item)

    def begin_all(self) -> None:
        """Make those tables of which nothing came."""
        self._write(ACTIONS, tables.action_columns(ACTION_NAMES), [])
        self._write(STATES, ROBOT_COLUMNS, [])
        self._write(SENSOR, tables.SENSOR_COLUMNS, [])
        self._write(FRAMES, tables.FRAME_COLUMNS, [])
        self._write(FEATURES, tables.FEATURE_COLUMNS, [])

    def _write_samples(self, samples: Received[SensorDatagram]) -> None:
        columns: tuple[str, ...] = tables.SENSOR_COLUMNS
        if self._with_ascans:
            points = samples.packet.ascan.shape[1]
            if self._points not in (-1, points):
                what = (
                    f"A-scans of {points} points follow such of {self._points}, which do not fit "
                    "into one table: export without --ascans"
                )
                self._leaving.out(OddError("A-scans of another length", what))
                return
            self._points = points
            columns += tuple(f"ascan_{point}" for point in range(points))
        self._write(SENSOR, columns, tables.sensor_rows(samples, self._with_ascans))

    def _write(self, name: str, columns: Sequence[str], rows: Iterable[tables.Row]) -> None:
        if name not in self._writers:
            path = self._folder / name
            file = self._stack.enter_context(path.open("x", encoding="utf-8", newline=""))
            self._writers[name] = csv.writer(file, lineterminator="\n")
            self._writers[name].writerow(columns)
        for row in rows:
            self._writers[name].writerow(row)
            self.rows[name] += 1

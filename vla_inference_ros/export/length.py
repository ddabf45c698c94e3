"""How long a recording is, as far as that is known without reading it: for a progress bar."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from vla_inference_ros.recording.bag_files import read_metadata
from vla_inference_ros.recording.bag_metadata import METADATA_FILE
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.run_folder import FRAMES, ROBOT

_TAIL = 4096  # bytes of a table's end, more than a row


def end_of(path: Path) -> float | None:
    """When the last thing of the recording at ``path`` was received [Unix s], about: what a bag's
    metadata or the last rows of a run folder's tables say. None if they do not.
    """
    if (path / METADATA_FILE).is_file():
        with suppress(RecordingError, KeyError, TypeError, ValueError):
            metadata = read_metadata(path)
            start = int(metadata["starting_time"]["nanoseconds_since_epoch"])
            return (start + int(metadata["duration"]["nanoseconds"])) / 1e9
        return None
    tables = [*path.glob(ROBOT), *path.glob(FRAMES)]
    return max((time for table in tables if (time := _last_time(table))), default=None)


def _last_time(table: Path) -> float | None:
    """Of a table whose first column is ``recv_timestamp``."""
    with suppress(OSError, ValueError), table.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
        return float(file.read().rstrip().rpartition(b"\n")[2].partition(b",")[0])
    return None

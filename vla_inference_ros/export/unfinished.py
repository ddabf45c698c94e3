"""Run folders whose recorder was killed: completed before they are read."""

from __future__ import annotations

import time
from pathlib import Path

from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import recover
from vla_inference_ros.recording.run_reader import is_run_folder
from vla_inference_ros.recording.sensor_file import PART

_SILENCE = 1.5  # a recorder that is alive adds something within it [s]


def complete(path: Path) -> list[str]:
    """Bring an unfinished run folder to its complete layout, where it is; what was done, a line
    each. Anything else is left as it is. RecordingError if it is still being recorded.
    """
    if not is_run_folder(path) or not _parts(path):
        return []
    if _grows(path):
        raise RecordingError(
            f"{path} is still being recorded: end the run first, or wait until its recorder is done"
        )
    try:
        return recover(path)
    except ValueError as error:
        raise RecordingError(str(error)) from error


def _parts(folder: Path) -> list[Path]:
    return [*folder.glob(f"sensor_data_*{PART}"), *folder.glob(f"*/*.jpg{PART}")]


def _grows(folder: Path) -> bool:
    """Waits only if something has just been written."""
    newest = max(path.stat().st_mtime for path in _files(folder))
    if time.time() - newest > _SILENCE:
        return False
    before = _sizes(folder)
    time.sleep(_SILENCE)
    return _sizes(folder) != before


def _sizes(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()]

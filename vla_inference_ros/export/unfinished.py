"""Run folders whose recorder was killed: completed before they are read."""

from __future__ import annotations

from pathlib import Path

from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import recover
from vla_inference_ros.recording.run_folder import UNFINISHED_PICTURES, UNFINISHED_SENSOR
from vla_inference_ros.recording.run_reader import is_run_folder


def complete(path: Path) -> list[str]:
    """Bring an unfinished run folder to its complete layout, where it is; what was done, a line
    each. Anything else is left as it is. RecordingError if it is still being recorded.
    """
    if not is_run_folder(path) or not _parts(path):
        return []
    try:
        return recover(path)
    except ValueError as error:
        raise RecordingError(str(error)) from error


def _parts(folder: Path) -> list[Path]:
    return [*folder.glob(UNFINISHED_SENSOR), *folder.glob(UNFINISHED_PICTURES)]

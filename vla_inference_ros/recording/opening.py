"""Opens a recording, of whichever kind it is."""

from __future__ import annotations

from pathlib import Path

from vla_inference_ros.recording.bag import Bag, is_bag
from vla_inference_ros.recording.recording import Recording, RecordingError
from vla_inference_ros.recording.run_folder import RESULTS
from vla_inference_ros.recording.run_reader import RunFolder, is_run_folder


def open_recording(path: Path, strict: bool = False) -> Recording:
    """The recording at a path. RecordingError if there is none, or one that cannot be read; with
    ``strict`` also for each thing in it that is else left out as odd.
    """
    if not path.exists():
        raise RecordingError(f"{path} does not exist")
    if is_bag(path):
        return Bag(path, strict)
    if is_run_folder(path):
        return RunFolder(path, strict)
    raise RecordingError(
        f"{path} is neither a bag (a folder with metadata.yaml or *.mcap, or an .mcap file) nor a "
        f"run folder (async_inference_..., with {RESULTS})"
    )

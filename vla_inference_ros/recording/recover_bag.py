"""Completes bags whose recorder was killed: each MCAP file's end, and ``metadata.yaml``."""

from __future__ import annotations

from pathlib import Path

from vla_inference_ros.recording.bag_files import named_files, read_metadata, storage_files
from vla_inference_ros.recording.bag_metadata import METADATA_FILE, information, write_metadata
from vla_inference_ros.recording.in_use import check_ended
from vla_inference_ros.recording.kept_aside import keep_aside
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover_mcap import finish


def recover_bag(path: Path) -> list[str]:
    """Bring a bag, or a single .mcap file, to what any tool can open; what was found and done, a
    line each.

    A complete one is left as it is; of any other, what is replaced is kept under another name.
    Raises RecordingError for what cannot be completed, InUseError while its recorder runs, and
    OSError.
    """
    if not path.is_dir():
        check_ended(path.parent, [path])
        return finish(path).lines
    files = storage_files(path)
    check_ended(path, files)
    if not files or files[0].suffix != ".mcap":
        raise RecordingError(
            f"{path} has no .mcap file to complete; for a bag of .db3 files there is "
            "'ros2 bag reindex'"
        )
    done = [finish(file) for file in files]
    lines = [line for each in done for line in each.lines]
    if problem := _trouble(path, any(each.is_changed for each in done)):
        old = path / METADATA_FILE
        if old.exists():
            problem = f"{problem}, kept as {keep_aside(old).name}"
        write_metadata(path, information("mcap", [each.summary for each in done]))
        lines.append(f"{METADATA_FILE}: {problem}, made anew")
    return lines


def _trouble(folder: Path, is_changed: bool) -> str:
    """What is wrong with a bag's metadata.yaml; empty if nothing. Of files that were changed it
    tells what they held before.
    """
    if not (folder / METADATA_FILE).exists():
        return "missing"
    try:
        named = named_files(folder, read_metadata(folder))
    except RecordingError:
        return "damaged"
    if set(named) != set(storage_files(folder)):
        return "not of all files"
    return "of what the files held before" if is_changed else ""

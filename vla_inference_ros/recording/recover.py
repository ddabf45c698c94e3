"""``vla-recover FOLDER``: completes run folders and bags whose recorder was killed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_inference_ros.core.printable import printable
from vla_inference_ros.recording.appending import mend_lines, mend_list
from vla_inference_ros.recording.bag_files import is_bag
from vla_inference_ros.recording.in_use import check_ended
from vla_inference_ros.recording.recover_bag import recover_bag
from vla_inference_ros.recording.run_folder import (
    FRAMES,
    RESULTS,
    ROBOT,
    UNFINISHED_PICTURES,
    UNFINISHED_SENSOR,
)
from vla_inference_ros.recording.sensor_file import recover_sensor_file


class NoRunFolderError(ValueError):
    """A folder that is no run's; the message says why."""


def recover(folder: Path) -> list[str]:
    """Bring a run folder to its complete layout; what was found and done, a line each.

    A complete one is left as it is. Nothing is thrown away but what was cut off: the entry that
    was being written. Raises NoRunFolderError, and InUseError while its recorder runs.
    """
    if not folder.is_dir():
        raise NoRunFolderError(f"{folder} is no folder")
    results = sorted(folder.glob(RESULTS))
    if not results:
        raise NoRunFolderError(
            f"{folder} is no run folder: it has no {RESULTS}. Name the "
            "async_inference_... folder itself"
        )
    check_ended(folder, _written(folder))
    lines = [f"{path.name}: {mend_list(path)} action chunks" for path in results]
    for what, pattern in (("robot states", ROBOT), ("pictures", FRAMES)):
        for path in sorted(folder.glob(pattern)):
            lines.append(f"{path.name}: {max(0, mend_lines(path) - 1)} {what}")
    for path in sorted(_unfinished(folder)):
        lines.append(f"{path.name}: {recover_sensor_file(path)} samples, finished now")
    for part in sorted(folder.glob(UNFINISHED_PICTURES)):
        part.unlink()
        lines.append(f"{part.parent.name}/{part.name}: cut off, removed")
    return lines


def _written(folder: Path) -> list[Path]:
    """The files that a run's recorder has open."""
    return [
        path
        for each in (RESULTS, ROBOT, FRAMES, UNFINISHED_SENSOR)
        for path in sorted(folder.glob(each))
    ]


def _unfinished(folder: Path) -> set[Path]:
    """The sensor's files that have parts left; each may have two."""
    parts = folder.glob(UNFINISHED_SENSOR)
    return {folder / f"{part.name.partition('.')[0]}.npz" for part in parts}


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="vla-recover", description=__doc__)
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="async_inference_*, bag_*, or an .mcap or .mcap.zstd file",
    )
    status = 0
    for folder in parser.parse_args(given).folders:
        try:
            done = recover_bag(folder) if is_bag(folder) else recover(folder)
            print(*map(printable, (f"{folder}:", *done)), sep="\n  ")
        except (ValueError, OSError) as error:
            what = f"{folder} cannot be completed: {error}" if isinstance(error, OSError) else error
            print(f"vla-recover: {printable(str(what))}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())

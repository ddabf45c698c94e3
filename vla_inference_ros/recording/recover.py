"""``vla-recover FOLDER``: completes run folders and bags whose recorder was killed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vla_inference_ros.core.printable import printable
from vla_inference_ros.recording.bag_files import is_bag
from vla_inference_ros.recording.in_use import check_ended
from vla_inference_ros.recording.mending import mend_lines, mend_list
from vla_inference_ros.recording.recover_bag import recover_bag
from vla_inference_ros.recording.recover_sensor import recover_sensor_file
from vla_inference_ros.recording.run_folder import (
    FRAME_COLUMNS,
    FRAMES,
    RESULTS,
    ROBOT,
    ROBOT_COLUMNS,
    UNFINISHED_PICTURES,
    UNFINISHED_SENSOR,
)

_TABLES = (
    ("robot states", ROBOT, (ROBOT_COLUMNS, ROBOT_COLUMNS[:-1])),  # older ones know no clock offset
    ("pictures", FRAMES, (FRAME_COLUMNS,)),
)


class NoRunFolderError(ValueError):
    """A folder that is no run's; the message says why."""


def recover(folder: Path) -> list[str]:
    """Bring a run folder to its complete layout; what was found and done, a line each.

    A complete one is left as it is. Nothing is thrown away but what was cut off: the entry that
    was being written. A file in which a line is damaged is kept beside the new one. Raises
    NoRunFolderError, and InUseError while its recorder runs.
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
    lines = []
    for what, pattern, headings in _TABLES:
        for path in sorted(folder.glob(pattern)):
            mended = mend_lines(path, headings)
            lines.append(f"{path.name}: {mended.entries} {what}{mended}")
    for path in sorted(_unfinished(folder)):
        lines.append(f"{path.name}: {recover_sensor_file(path)}")
    for part in sorted(folder.glob(UNFINISHED_PICTURES)):
        part.unlink()
        lines.append(f"{part.parent.name}/{part.name}: cut off, removed")
    chunks = []
    for path in results:
        found = mend_list(path)
        chunks.append(f"{path.name}: {found.entries} action chunks{found}")
    return chunks + lines


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

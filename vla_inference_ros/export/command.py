"""``vla-export BAG_OR_RUN --to run|lerobot|csv``: a recording in another form.

The result is a new folder beside the recording, unless --output names another place. It is there as
a whole or not at all, and gets a number where its name is taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vla_inference_ros.core.printable import printable
from vla_inference_ros.export.new_folder import OutputError
from vla_inference_ros.recording.beside import beside
from vla_inference_ros.recording.ending import failed
from vla_inference_ros.recording.recording import Recording, RecordingError

_INTERRUPTED = 130  # exit status, as shells have it


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = _parser()
    arguments = parser.parse_args(given)
    if arguments.ascans and arguments.to != "csv":
        parser.error("--ascans is for --to csv; the others have no such choice")
    if arguments.task is not None and arguments.to != "lerobot":
        parser.error("--task is for --to lerobot; the others have no place for it")
    try:
        print(*map(printable, _export(arguments)), sep="\n  ")
    except (OutputError, RecordingError, MemoryError) as error:
        return failed("vla-export", error)
    except OSError as error:
        place = arguments.output or beside(arguments.recording, "").parent
        return failed("vla-export", OutputError(f"nothing exported to {place}: {error}"))
    except KeyboardInterrupt:
        print("vla-export: interrupted, nothing exported", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vla-export", description=__doc__)
    parser.add_argument("recording", type=Path, metavar="BAG_OR_RUN", help="what to export")
    parser.add_argument(
        "--to",
        required=True,
        choices=("run", "lerobot", "csv"),
        help="a run folder, a LeRobotDataset or flat tables",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="the folder in which the result's folder is made; default: beside the recording",
    )
    parser.add_argument(
        "--ascans", action="store_true", help="csv: with a column for each point of the A-scans"
    )
    parser.add_argument("--strict", action="store_true", help="refuse what is else left out as odd")
    parser.add_argument(
        "--task", metavar="TEXT", help="lerobot: the task, instead of the recorded instruction"
    )
    return parser


def _export(arguments: argparse.Namespace) -> list[str]:
    # Imported here, so that the command's help needs neither ROS nor a second.
    from vla_inference_ros.export.length import end_of
    from vla_inference_ros.export.to_csv import to_csv
    from vla_inference_ros.export.to_run import to_run
    from vla_inference_ros.export.unfinished import complete
    from vla_inference_ros.recording.bag import Bag
    from vla_inference_ros.recording.new_names import free_name
    from vla_inference_ros.recording.opening import open_recording

    path: Path = arguments.recording
    own = beside(path, arguments.to)
    output: Path = arguments.output or own.parent
    completed = complete(path)
    if completed:
        print(f"{path} was not finished, and has been completed:", *completed, sep="\n  ")
    recording = open_recording(path, arguments.strict)
    if isinstance(recording, Bag) and not recording.complete:
        print(f"{path} was not finished: what is there of it is exported")
    end = end_of(path)
    folder = free_name(output / own.name)
    try:
        if arguments.to == "run":
            lines = to_run(recording, output, end)
        elif arguments.to == "csv":
            lines = to_csv(recording, folder, end, arguments.ascans)
        else:
            lines = _to_lerobot()(recording, folder, end, arguments.task)
    except RecordingError:  # perhaps since too much was left out
        for line in recording.odd.lines():
            print(f"vla-export: {printable(line)}", file=sys.stderr)
        raise
    return lines + recording.odd.lines()


def _to_lerobot() -> Callable[[Recording, Path, float | None, str | None], list[str]]:
    try:
        from vla_inference_ros.export.to_lerobot import to_lerobot
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise OutputError(
            "--to lerobot needs pyarrow, which is an extra: pip install pyarrow (or install this "
            "package as '.[lerobot]')"
        ) from error
    return to_lerobot


if __name__ == "__main__":
    sys.exit(main())

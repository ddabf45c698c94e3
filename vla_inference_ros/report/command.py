"""``vla-report BAG_OR_RUN``: makes a page of a recording that a person reads after a run.

Without --output, the page is put beside the recording, under its name with _report.html behind it.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from vla_inference_ros.recording.beside import beside
from vla_inference_ros.recording.ending import failed, tell_left_out
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError


def default_output(recording: Path) -> Path:
    """Beside the recording."""
    return beside(recording, "report.html")


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="vla-report", description=__doc__)
    parser.add_argument("recording", type=Path, metavar="BAG_OR_RUN", help="a bag or a run folder")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.html", help="default: beside the recording"
    )
    parser.add_argument("--strict", action="store_true", help="refuse what is else left out as odd")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    arguments = parser.parse_args(given)
    output: Path = arguments.output or default_output(arguments.recording)
    try:
        _write(arguments.recording, output, arguments.strict)
    except (RecordingError, OSError, MemoryError) as error:
        return failed("vla-report", error)
    except KeyboardInterrupt:
        print("vla-report: interrupted, nothing was written", file=sys.stderr)
        return 130
    print(output)
    if arguments.open and not webbrowser.open(output.resolve().as_uri()):
        print(f"vla-report: no browser was found to open {output} in", file=sys.stderr)
        return 1
    return 0


def _write(path: Path, output: Path, strict: bool) -> None:
    """The page is there whole or not at all."""
    if output.is_dir():
        raise IsADirectoryError(f"{output} is a folder: name a file, such as {output}/report.html")
    if not output.parent.is_dir():
        raise FileNotFoundError(f"{output.parent} is no folder: make it first")
    recording = open_recording(path, strict)
    # Imported here because it draws, which takes long to load.
    from vla_inference_ros.report.report import report

    page = report(recording)
    part = output.with_name(f"{output.name}.{os.getpid()}.part")
    try:
        part.write_bytes(page)
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    tell_left_out("vla-report", recording)


if __name__ == "__main__":
    sys.exit(main())

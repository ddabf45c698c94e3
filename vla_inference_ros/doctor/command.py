"""``vla-doctor [NAME:=VALUE ...]``: whether a run with these launch arguments can be started.

Each check is OK, a WARNING, a PROBLEM or skipped, with one line of what was found and one of what
to do. The arguments are those of async.launch.py, written the same way, so that its command line
can be examined as it is. Senders are listened to for a few seconds. Exit status: 0 without a
PROBLEM, 1 with one, 2 if the command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from vla_inference_ros.core.number_text import number_or_nan
from vla_inference_ros.doctor.result import Status, as_json, as_text, count
from vla_inference_ros.doctor.settings import read_settings
from vla_inference_ros.launch_arguments import ARGUMENTS, ArgumentError
from vla_inference_ros.params_file import SettingsError

_LISTEN = 5.0  # [s]
_LEAST, _MOST = 2.0, 600.0  # [s]
_INTERRUPTED = 130  # exit status, as shells have it


def main(given: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    for stream in (sys.stdout, sys.stderr):  # names of other hosts may be in any alphabet
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    parser = _parser()
    arguments = parser.parse_intermixed_args(given)  # options anywhere among the arguments
    launch: dict[str, str] = {}
    for text in arguments.arguments:
        name, separator, value = text.partition(":=")
        if not separator:
            parser.error(f"{text!r} is not of the form name:=value")
        launch[name] = value
    try:
        settings = read_settings(launch)
    except SettingsError as error:
        print(f"vla-doctor: {error}", file=sys.stderr)
        return 1
    except (ArgumentError, FileNotFoundError) as error:
        parser.error(str(error))
    # Imported here, so that the command's help needs neither ROS nor a second.
    from vla_inference_ros.doctor.examine import examine

    try:
        print(f"listening for {arguments.listen:g} s ...", file=sys.stderr)
        results = examine(settings, arguments.listen)
    except KeyboardInterrupt:
        print("vla-doctor: interrupted", file=sys.stderr)
        return _INTERRUPTED
    print(as_json(results) if arguments.json else as_text(results))
    return 1 if count(results, Status.PROBLEM) else 0


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(
        f"  {argument.name}:={argument.default or repr('')}\n      {argument.description}"
        for argument in ARGUMENTS
    )
    parser = argparse.ArgumentParser(
        prog="vla-doctor",
        description=__doc__,
        epilog=f"launch arguments and their defaults:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "arguments", nargs="*", metavar="NAME:=VALUE", help="launch arguments of async.launch.py"
    )
    parser.add_argument("--json", action="store_true", help="print the results for a machine")
    parser.add_argument(
        "--listen",
        type=_seconds,
        default=_LISTEN,
        metavar="SECONDS",
        help=f"how long to listen to the senders; {_LISTEN:g} by default",
    )
    return parser


def _seconds(text: str) -> float:
    value = number_or_nan(text)
    if not _LEAST <= value <= _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not {_LEAST:g} to {_MOST:g} seconds")
    return value


if __name__ == "__main__":
    sys.exit(main())

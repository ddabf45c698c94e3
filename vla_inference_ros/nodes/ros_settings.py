"""Settings of the environment with which ROS cannot start, found before ROS is loaded.

ROS's own libraries end the process at some of them, or tell what is wrong and not what to do.
No ROS here.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.graph import prefix

_MIDDLEWARES = Path("share", "ament_index", "resource_index", "rmw_typesupport")
_NUMBER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|[0-9]+)")  # as strtoul(3) reads it, and so ROS
_HIGHEST_DOMAIN = 232  # whose ports still are ports
_PEERS, _RANGE = "ROS_STATIC_PEERS", "ROS_AUTOMATIC_DISCOVERY_RANGE"
_WITHOUT_PEERS = ("OFF", "SYSTEM_DEFAULT")  # ranges with which ROS passes over the peers
_FAST_DDS = "rmw_fastrtps"  # how the names of its middlewares begin
_SWITCHES = (  # of the console's log: with another value than these, or none, ROS does not start
    "RCUTILS_COLORIZED_OUTPUT",
    "RCUTILS_LOGGING_BUFFERED_STREAM",
    "RCUTILS_LOGGING_USE_STDOUT",
)
_NO_LOG_FILE = "--disable-external-lib-logs"  # the argument with which ROS writes none


@dataclass(frozen=True, slots=True)
class Unusable:
    """A setting that keeps ROS from starting, and what to do."""

    finding: str
    remedy: str

    def __str__(self) -> str:
        """On one line."""
        return f"{self.finding}: {self.remedy}"


def unusable(environment: Mapping[str, str], prefixes: Sequence[Path] = ()) -> list[Unusable]:
    """What is wrong with these variables; of ``prefixes``, by default those that ROS knows, one is
    to hold the middleware.
    """
    checks = (
        _middleware(environment, prefixes or _prefixes(environment)),
        _domain(environment),
        _peers(environment),
        _log(environment),
        _switches(environment),
    )
    return [found for found in checks if found is not None]


def refuse_unusable() -> None:
    """End this process with status 1, and a line for each setting that cannot be, if there is one.

    A node calls it before ROS is imported.
    """
    found = unusable(os.environ)
    for each in found:
        print(f"cannot start: {each}", file=sys.stderr)
    if found:
        sys.exit(1)


def _log(environment: Mapping[str, str]) -> Unusable | None:
    if _NO_LOG_FILE in sys.argv:
        return None
    remedy = "export ROS_LOG_DIR=/tmp/ros_log, or any folder that can be written"
    try:
        folder = _log_folder(environment)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except KeyError:
        return Unusable("HOME is not set, so ROS has no folder for its log", remedy)
    except OSError as error:
        return Unusable(f"ROS cannot write its log to {folder}: {error.strerror}", remedy)
    return None


def _log_folder(environment: Mapping[str, str]) -> Path:
    """As ROS chooses it; KeyError if that needs a HOME and there is none."""
    if folder := environment.get("ROS_LOG_DIR"):
        return Path(_expanded(folder, environment))
    return Path(_expanded(environment.get("ROS_HOME") or "~/.ros", environment), "log")


def _expanded(path: str, environment: Mapping[str, str]) -> str:
    """Not as the shell does it: where HOME is not set, ROS asks nobody else."""
    if not path.startswith("~"):
        return path
    if not (home := environment.get("HOME")):
        raise KeyError("HOME")
    return home + path[1:]


def _middleware(environment: Mapping[str, str], prefixes: Sequence[Path]) -> Unusable | None:
    wanted = environment.get("RMW_IMPLEMENTATION", "")
    folders = [prefix / _MIDDLEWARES for prefix in prefixes]
    # The index has an entry of that name too, which stands for any of them.
    there = {each.name for folder in folders if folder.is_dir() for each in folder.iterdir()}
    there.discard("rmw_implementation")
    if not wanted or not there or wanted in there:
        return None
    return Unusable(
        f"RMW_IMPLEMENTATION is {wanted!r}, which is not installed",
        f"unset it, or export one of those that are: {', '.join(sorted(there))}",
    )


def _domain(environment: Mapping[str, str]) -> Unusable | None:
    text = environment.get("ROS_DOMAIN_ID", "").strip()
    remedy = "export a number from 0 to 101, in every shell"
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        return Unusable(f"ROS_DOMAIN_ID is {text!r}, which is not a whole number", remedy)
    is_octal = text.lstrip("+-").startswith("0") and text.lstrip("+-").isdecimal()
    try:
        number = int(text, 8 if is_octal else 0)
    except ValueError:  # an octal number with an 8
        return Unusable(f"ROS_DOMAIN_ID is {text!r}, which begins as an octal number", remedy)
    if not 0 <= number <= _HIGHEST_DOMAIN:
        return Unusable(f"ROS_DOMAIN_ID is {text}, not from 0 to {_HIGHEST_DOMAIN}", remedy)
    return None


def _peers(environment: Mapping[str, str]) -> Unusable | None:
    """Fast DDS asks at IPv4 addresses alone; ROS makes no node where a peer has none."""
    middleware = environment.get("RMW_IMPLEMENTATION") or _FAST_DDS  # the default is one of its
    if not middleware.startswith(_FAST_DDS):
        return None
    if environment.get(_RANGE, "") in _WITHOUT_PEERS:
        return None
    peers = [each for each in environment.get(_PEERS, "").split(";") if each]
    if not (without := [each for each in peers if not _has_ipv4(each)]):
        return None
    return Unusable(
        f"{_PEERS} has {', '.join(map(repr, without))}, of which no IPv4 address is known, and "
        "Fast DDS takes no other",
        "export hosts that have one, with ';' between them, or unset it",
    )


def _has_ipv4(host: str) -> bool:
    try:
        socket.gethostbyname(host)
    except (OSError, UnicodeError):  # the latter of what is no host's name
        return False
    return True


def _switches(environment: Mapping[str, str]) -> Unusable | None:
    wrong = [name for name in _SWITCHES if environment.get(name, "") not in ("", "0", "1")]
    if not wrong:
        return None
    found = ", ".join(f"{name} is {environment[name]!r}" for name in wrong)
    return Unusable(f"{found}, not 0 or 1", "export one of the two, or unset it")


def _prefixes(environment: Mapping[str, str]) -> list[Path]:
    given = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    try:
        return [prefix(), *(Path(each) for each in given if each)]
    except FileNotFoundError:  # not installed, and so not run as a node
        return [Path(each) for each in given if each]

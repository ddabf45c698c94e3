"""Settings of ROS's middleware: how soon nodes find each other, how soon what was lost comes again,
how much of it waits in shared memory, in what pieces it goes over the network, and where a node
listens.

After a restart the first decides how soon there are chunks again, and the last whether there are;
the second, how long one lost message keeps back all after it; the third, whether any is lost on one
machine; the fourth, whether pictures come through a network that loses packets.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from xml.etree import ElementTree

import rclpy

from vla_inference_ros.graph import MESSAGE_BYTES, share
from vla_inference_ros.nodes import dds_profile
from vla_inference_ros.nodes.dds_leftovers import remove_leftovers

# By Fast DDS's version: where it looks for a file, and ours. Neither knows the other's spelling.
PROFILES = {
    2: ("FASTRTPS_DEFAULT_PROFILES_FILE", "fastdds_2.xml"),
    3: ("FASTDDS_DEFAULT_PROFILES_FILE", "fastdds_3.xml"),
}
_LIFETIME = 3600.0  # of a file with the settings of one start [s]
_TRANSPORTS = "FASTDDS_BUILTIN_TRANSPORTS"  # with which a user has chosen others than the profile's


def set_up_middleware(segment: int = dds_profile.SMALL_SEGMENT) -> str:
    """Have Fast DDS take the package's settings, unless the user has chosen others; what is to be
    said of it, or ''. Raises ValueError, also for a variable that has none.

    To be called before ROS is initialised; other middlewares are left alone. ``segment`` [bytes] is
    of shared memory, for what this process sends.
    """
    if not rclpy.get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
        return ""
    if own := next((each for each, _ in PROFILES.values() if os.environ.get(each)), ""):
        return _fault_of_profile(own)
    version = fast_dds_version(Path(rclpy.__file__))
    variable, name = PROFILES[version]
    profile = (share() / "config" / name).read_text(encoding="utf-8")
    if _TRANSPORTS in os.environ:
        return _take(variable, dds_profile.without_transports(profile))
    remove_leftovers()
    segment, complaint = dds_profile.segment(segment)
    peers = dds_profile.discovery(os.environ, version)
    message = None
    if peers is not None and len(peers) == 1:  # nothing goes over a network
        message = dds_profile.LOCAL_MESSAGE
    elif given := os.environ.get(MESSAGE_BYTES):
        try:
            message = dds_profile.message_bytes(given)
        except ValueError as error:
            raise ValueError(f"the variable {MESSAGE_BYTES} is {given!r}, {error}") from error
    try:
        offset = dds_profile.data_offset(os.environ)
        changes = dds_profile.Changes(segment, message, peers, offset)
        changed = dds_profile.changed(profile, changes)
    except OSError as error:
        raise ValueError(f"the variable ROS_STATIC_PEERS is {peers}: {error}") from error
    failure = _take(variable, changed)
    if peers is not None and not failure:
        os.environ.update(dds_profile.unconfined(os.environ))
    return failure or complaint


@contextmanager
def settings_for_this_process() -> Iterator[str]:
    """Have Fast DDS take the package's settings for what ROS makes meanwhile, but leave the
    variables as they are to processes that are started later, which choose for themselves. Yields
    and raises what ``set_up_middleware`` does.
    """
    before = dict(os.environ)
    try:
        yield set_up_middleware()
    finally:
        os.environ.clear()
        os.environ.update(before)


def fast_dds_version(rclpy_file: Path) -> int:
    """The major one, of the ROS installation that a file of rclpy's belongs to: until Jazzy it is
    2, and called Fast RTPS.
    """
    return 2 if any((each / "share" / "fastrtps").is_dir() for each in rclpy_file.parents) else 3


def _fault_of_profile(variable: str) -> str:
    """What is to be said of the file that a user has named; '' if Fast DDS can read it."""
    file = os.environ[variable]
    try:
        ElementTree.parse(file)
    except (OSError, ElementTree.ParseError) as error:
        why = error.strerror if isinstance(error, OSError) else f"no XML: {error}"
        return (
            f"the variable {variable} is {file!r}, which Fast DDS cannot read ({why}): it is left "
            "at its defaults, with which pictures are lost; correct it, or unset it for the "
            "package's own"
        )
    return ""


def _take(variable: str, profile: str) -> str:
    """Have Fast DDS read this text; what went wrong, or ''."""
    try:
        os.environ[variable] = str(_file(profile))
    except OSError as error:
        return f"Fast DDS is left at its defaults, with which pictures are lost: {error}"
    return ""


def _file(text: str) -> Path:
    """A file with this text, for as long as processes that start need it. Raises OSError."""
    folder = Path(tempfile.gettempdir(), f"vla_inference_ros-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    for old in folder.iterdir():
        with suppress(FileNotFoundError):  # another process has just removed it
            if time.time() - old.stat().st_mtime > _LIFETIME:
                old.unlink()
    path = folder / f"fastdds_{sha256(text.encode()).hexdigest()[:16]}.xml"
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(text, encoding="utf-8")
    new.replace(path)  # at once: others may be reading it
    return path

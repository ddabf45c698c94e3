"""Removes what killed processes have left of Fast DDS's in shared memory: nobody else does.

Segments, in which lies what a process sent, and queues, one for each port that a process listened
at, or that another took for such. They fill the memory, and one that its maker was killed in the
midst of making lets every process wait for ever that opens it. No ROS here.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vla_inference_ros.nodes.dds_profile import DATA_PORTS

_SEGMENT_LOCK = re.compile(r"(fast(?:dds|rtps)_[0-9a-f]{16})_el")
_QUEUE = re.compile(r"fast(?:dds|rtps)_port(\d+)")
_UNUSED = 60.0  # age of a queue that nobody is just making, nor about to listen at [s]
_MADE = 1.0  # it takes far less than a millisecond to make one [s]
# Boost.Interprocess, with which Fast DDS makes them (managed_open_or_create_impl): who opens one
# waits until it has a size, then until its first 32 bits say that it is complete. A size of 1 tells
# who waits that nothing will come of it.
_COMPLETE, _BROKEN_SIZE = 2, 1


def remove_leftovers(folder: Path = Path("/dev/shm")) -> None:
    """Remove what no process can use any more. One of use is locked by who has made it, or who
    listens at it, as long as that lives.
    """
    for path in folder.glob("fast*_*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            if segment := _SEGMENT_LOCK.fullmatch(path.name):
                _remove_segment(path.with_name(segment[1]), path)
            elif queue := _QUEUE.fullmatch(path.name):
                _remove_queue(path, is_ours=int(queue[1]) >= DATA_PORTS[0])


def _remove_segment(path: Path, lock: Path) -> None:
    with _unlocked(lock) as is_unlocked:
        if is_unlocked:
            path.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)


def _remove_queue(path: Path, is_ours: bool) -> None:
    """Of other programs, whose ports come again, only what keeps them from starting."""
    age = time.time() - path.stat().st_mtime
    if not (is_ours and age > _UNUSED) and not (age > _MADE and _is_half_made(path)):
        return
    lock, shared = (path.with_name(path.name + kind) for kind in ("_el", "_sl"))
    with _unlocked(lock) as nobody_listens, _unlocked(shared) as nobody_shares:
        if nobody_listens and nobody_shares:
            if path.stat().st_size == 0:
                os.truncate(path, _BROKEN_SIZE)
            for each in (path, path.with_name(f"sem.{path.name}_mutex"), lock, shared):
                each.unlink(missing_ok=True)


def _is_half_made(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(4)
    return len(start) < 4 or struct.unpack("=I", start)[0] < _COMPLETE


@contextmanager
def _unlocked(lock: Path) -> Iterator[bool]:
    """Whether no process holds a lock; if so, and there is one, none can take it meanwhile."""
    try:
        file = lock.open("rb")
    except FileNotFoundError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True

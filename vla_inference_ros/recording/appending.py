"""Files that grow by whole entries, and are complete after each: text lines, and a JSON list.

What an entry was written of is with the system at once, so that a process that is killed loses
nothing that it has written, and at most the entry that it was writing is cut off.
"""

from __future__ import annotations

import errno
import json
import math
import os
import resource
from pathlib import Path
from typing import Any

# No file of a recording grows beyond this, unless another limit is asked for: FAT32 takes 4 GiB,
# and ``ros2 bag record`` notices only what it has written, which is up to 270 MB less [bytes].
MOST_BYTES = 4_000_000_000
LIST_END = b"\n]\n"


def open_new(path: Path) -> int:
    """A descriptor to write a file that must not exist yet."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)


def check_size(size: int, most: float = math.inf) -> None:
    """OSError with EFBIG if a file is not to have ``size`` bytes: more than ``most``, or than the
    process may write (``ulimit -f``).

    The kernel says the same of the latter only in the midst of writing, and with SIGXFSZ, which
    ends a process that does not ignore it, as Python does.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if size > most or (allowed != resource.RLIM_INFINITY and size > allowed):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Hand all to the system; OSError if it cannot take it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def stands(path: Path, descriptor: int) -> bool:
    """Whether what was opened is still what the path names: not removed, renamed or unmounted."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except OSError:
        return False


class LineFile:
    """Text lines, of which ``heading`` is the first; ``most`` bytes."""

    def __init__(self, path: Path, heading: str, most: float = math.inf) -> None:
        """OSError, and nothing is left of it, if it cannot be begun."""
        data = heading.encode() + b"\n"
        self._path, self._most = path, most
        self._file = _begun(path, data)
        self._size = len(data)

    def append(self, line: str) -> None:
        """Add a line; OSError leaves the file as it was, with EFBIG if it would be too large."""
        data = line.encode() + b"\n"
        check_size(self._size + len(data), self._most)
        try:
            write_all(self._file, data)
        except OSError:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            raise
        self._size += len(data)

    def is_there(self) -> bool:
        """Whether the file still stands where it was made."""
        return stands(self._path, self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class JsonListFile:
    """A JSON list with an object a line: the list is closed after each. It has ``most`` bytes."""

    def __init__(self, path: Path, most: float = math.inf) -> None:
        """OSError, and nothing is left of it, if it cannot be begun."""
        self._path, self._most = path, most
        self._file = _begun(path, b"[" + LIST_END)
        self._size = 1  # without the end

    def append(self, entry: dict[str, Any]) -> None:
        """Add an object; OSError leaves the file as it was, with EFBIG if it would be too large."""
        separator = b"\n" if self._size == 1 else b",\n"
        data = separator + json.dumps(entry, allow_nan=False).encode()
        check_size(self._size + len(data) + len(LIST_END), self._most)
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            write_all(self._file, data + LIST_END)
        except OSError:
            os.lseek(self._file, self._size, os.SEEK_SET)
            write_all(self._file, LIST_END)  # takes no room that it did not have
            os.ftruncate(self._file, self._size + len(LIST_END))
            raise
        self._size += len(data)

    def is_there(self) -> bool:
        """Whether the file still stands where it was made."""
        return stands(self._path, self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _begun(path: Path, data: bytes) -> int:
    """A new file that begins so; what was left of it would be in the next attempt's way."""
    file = open_new(path)
    try:
        write_all(file, data)
    except OSError:
        os.close(file)
        path.unlink()
        raise
    return file

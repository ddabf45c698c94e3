"""Files that grow by whole entries, and are complete after each: text lines, and a JSON list.

What an entry was written of is with the system at once, so that a process that is killed loses
nothing that it has written, and at most the entry that it was writing is cut off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

LIST_END = b"\n]\n"


def open_new(path: Path) -> int:
    """A descriptor to write a file that must not exist yet."""
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)


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
    """Text lines, of which ``heading`` is the first."""

    def __init__(self, path: Path, heading: str) -> None:
        self._path, self._file = path, open_new(path)
        self._size = 0
        self.append(heading)

    def append(self, line: str) -> None:
        """Add a line; OSError leaves the file as it was."""
        data = line.encode() + b"\n"
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
    """A JSON list with an object a line: the list is closed after each."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open_new(path)
        write_all(self._file, b"[" + LIST_END)
        self._size = 1  # without the end

    def append(self, entry: dict[str, Any]) -> None:
        """Add an object; OSError leaves the file as it was."""
        separator = b"\n" if self._size == 1 else b",\n"
        data = separator + json.dumps(entry, allow_nan=False).encode()
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

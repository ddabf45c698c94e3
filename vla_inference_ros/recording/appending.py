"""Files that grow by whole entries, and are complete after each: text lines, and a JSON list.

What an entry was written of is with the system at once, so that a process that is killed loses
nothing that it has written, and at most the entry that it was writing is cut off.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_END = b"\n]\n"


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
        write_all(self._file, b"[" + _END)
        self._size = 1  # without the end

    def append(self, entry: dict[str, Any]) -> None:
        """Add an object; OSError leaves the file as it was."""
        separator = b"\n" if self._size == 1 else b",\n"
        data = separator + json.dumps(entry, allow_nan=False).encode()
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            write_all(self._file, data + _END)
        except OSError:
            os.lseek(self._file, self._size, os.SEEK_SET)
            write_all(self._file, _END)  # takes no room that it did not have
            os.ftruncate(self._file, self._size + len(_END))
            raise
        self._size += len(data)

    def is_there(self) -> bool:
        """Whether the file still stands where it was made."""
        return stands(self._path, self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def mend_lines(path: Path) -> int:
    """Drop a last line that was cut off; how many lines are left."""
    lines = end = 0
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                lines, end = lines + 1, end + len(line)
    if end < path.stat().st_size:
        os.truncate(path, end)
    return lines


def mend_list(path: Path) -> int:
    """Drop a last object that was cut off, and close the list; how many objects are left.

    ValueError, and the file is left alone, if it is no list with an object a line.
    """
    entries, end = 0, 1
    with path.open("r+b") as file:
        if file.readline() not in (b"[\n", b"["):
            raise ValueError(f"{path} is no JSON list with an object a line, and left as it is")
        for line in file:
            entry = line.rstrip(b",\n")
            if entry in (b"]", b""):
                break
            if not _is_object(entry):
                if entries == 0 and line.endswith(b"\n"):  # not cut off: somebody else's list
                    raise ValueError(f"{path} has no object a line, and is left as it is")
                break
            entries += 1
            end += len(b"\n" + entry) if entries == 1 else len(b",\n" + entry)
        file.seek(end)
        if file.read() != _END:
            file.seek(end)
            file.truncate()
            file.write(_END)
    return entries


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False

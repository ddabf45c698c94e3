"""A file that grows, and the next ones where it may grow no more: one after the other."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class GrowingFile(Protocol):
    """What is written entry by entry."""

    def append(self, *entry: Any, **named: Any) -> None:
        """Add an entry, of each file's own form; OSError leaves the file as it was."""

    def is_there(self) -> bool:
        """Whether it still stands where it was made."""

    def close(self) -> None:
        """Finish it; OSError if that cannot be done."""


File = TypeVar("File", bound=GrowingFile)


class Series(Generic[File]):
    """``name.suffix``, ``name_1.suffix``, ...: a new one is begun when the last says EFBIG."""

    def __init__(self, path: Path, make: Callable[[Path], File]) -> None:
        """``make`` begins the file of a path; OSError if it cannot."""
        self._path, self._make = path, make
        self._number = 0
        self._file = make(path)
        self._is_empty = True
        self._failure: OSError | None = None  # of a former file's end

    def append(self, *entry: Any) -> None:
        """Add an entry to the file, or to a new one. OSError leaves all as it was; with EFBIG the
        entry alone is more than any file may hold.
        """
        try:
            self._file.append(*entry)
        except OSError as error:
            if error.errno != errno.EFBIG or self._is_empty:
                raise
            self._begin_next()
            self._file.append(*entry)
        self._is_empty = False

    def _begin_next(self) -> None:
        number = self._number + 1
        following = self._make(self._path.with_stem(f"{self._path.stem}_{number}"))
        former, self._file = self._file, following
        self._number, self._is_empty = number, True
        try:
            former.close()
        except OSError as error:  # what it holds is safe: ``vla-recover`` finishes it
            self._failure = error

    def is_there(self) -> bool:
        """Whether the file that is written stands where it was made."""
        return self._file.is_there()

    def close(self) -> None:
        """Finish the last file; OSError if this, or a former one, could not be."""
        self._file.close()
        if self._failure:
            raise self._failure

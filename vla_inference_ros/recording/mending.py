"""Mends the texts of a run whose recorder was killed, or that the disk has damaged.

An entry that was cut off at the end is dropped. Where a line in the middle is damaged, what is
whole is written to a new file, and the damaged one is kept beside it.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.recording.appending import LIST_END
from vla_inference_ros.recording.csv_rows import cells_of
from vla_inference_ros.recording.kept_aside import keep_aside, name_aside

_EMPTY = (b"", b"[", b"]", b"[]", b",")  # lines of a list that are no entry


@dataclass(frozen=True, slots=True)
class Mended:
    """What a file has: ``entries``, and how many lines were ``damaged``. The file as it was is
    ``kept`` under that name; empty if nothing but a cut off end is missing of it.
    """

    entries: int
    damaged: int = 0
    kept: str = ""

    def __str__(self) -> str:
        """For people, behind what the entries are."""
        if not self.kept:
            return ""
        lines = f", {self.damaged} damaged lines left out" if self.damaged else ", set right"
        return f"{lines}; the file as it was is kept as {self.kept}"


def mend_lines(path: Path, headings: Sequence[Sequence[str]]) -> Mended:
    """Of a table whose columns are those of its first line; if that is damaged, of one of some
    ``headings``.
    """
    with path.open("rb") as file:
        first = file.readline()
        columns = _cells(first)
        widths = Counter(len(cells) for line in file if (cells := _cells(line)))
    if not first.endswith(b"\n"):
        return _begun(path, first, headings[0])
    is_lost = not columns
    if is_lost:
        width = widths.most_common(1)[0][0] if widths else 0
        columns = next((list(each) for each in headings if len(each) == width), [])
        if not columns:
            raise ValueError(f"{path} has a damaged first line and no rows, and is left as it is")
    entries = damaged = end = 0
    with path.open("rb") as file:
        end = len(file.readline())
        for line in file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            is_whole = len(_cells(line)) == len(columns)
            entries, damaged = entries + is_whole, damaged + (not is_whole and line != b"\n")
    if not damaged and not is_lost:
        if end < path.stat().st_size:
            os.truncate(path, end)
        return Mended(entries)
    heading = first if not is_lost else ",".join(columns).encode() + b"\n"
    kept = _written_anew(path, _whole_rows(path, heading, len(columns)))
    return Mended(entries, damaged + is_lost, kept)


def _begun(path: Path, first: bytes, heading: Sequence[str]) -> Mended:
    """Of a table that has not even its first line: it gets it."""
    line = ",".join(heading).encode() + b"\n"
    if not line.startswith(first):
        return Mended(0, 1, _written_anew(path, [line]))
    with path.open("r+b") as file:
        file.write(line)
    return Mended(0)


def _whole_rows(path: Path, heading: bytes, width: int) -> Iterator[bytes]:
    yield heading
    with path.open("rb") as file:
        file.readline()
        yield from (line for line in file if line.endswith(b"\n") and len(_cells(line)) == width)


def _cells(line: bytes) -> list[str]:
    """Those of a line; none if it is damaged."""
    try:
        return cells_of(line.decode("utf-8-sig")) if line.endswith(b"\n") else []
    except ValueError:
        return []


def mend_list(path: Path) -> Mended:
    """Of a JSON list with an object a line, which is closed in the end. ValueError, and the file is
    left alone, if it is none.
    """
    found = _Lines(path)
    is_ours = found.is_laid_out and not found.damaged
    if not found.is_closed and not found.has_zeros and _is_other(path, found.entries, is_ours):
        raise ValueError(f"{path} has no object a line, and is left as it is")
    if not found.entries and (found.damaged or not found.is_begun) and not found.has_zeros:
        raise ValueError(f"{path} is no JSON list with an object a line, and left as it is")
    if not is_ours:
        kept = _written_anew(path, _whole_list(path))
        return Mended(found.entries, found.damaged, kept)
    with path.open("r+b") as file:
        file.seek(found.end)
        if file.read() != LIST_END:
            file.seek(0)
            file.write(b"[")
            file.seek(found.end)
            file.truncate()
            file.write(LIST_END)
    return Mended(found.entries)


class _Lines:
    """What the lines of a list are: objects, damaged ones, and whether all stands as its writer
    puts it, up to the ``end`` of the last object, or, if it ``is_closed``, up to its own.
    """

    def __init__(self, path: Path) -> None:
        self.entries = self.damaged = at = 0
        self.end = 1
        self.has_zeros = False
        self.is_laid_out, self.is_begun = True, True
        behind = b""
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if number == 0:
                    self.is_begun = line in (b"[\n", b"[")
                self.has_zeros |= b"\0" in line
                entry = _entry(line)
                if entry is None:
                    is_empty = line.strip() in _EMPTY
                    self.damaged += line.endswith(b"\n") and not is_empty
                else:
                    is_next = at == self.end + (2 if self.entries else 1)
                    is_parted = not self.entries or behind == b",\n"
                    self.is_laid_out &= is_next and is_parted and line.startswith(entry)
                    behind = line[len(entry) :]
                    self.end, self.entries = at + len(entry), self.entries + 1
                at += len(line)
            file.seek(self.end)
            is_ended = file.read(len(LIST_END) + 1) == LIST_END
        self.is_begun |= at == 0
        self.is_laid_out &= self.is_begun
        self.is_closed = self.is_laid_out and is_ended and not self.damaged


def _is_other(path: Path, entries: int, is_ours: bool) -> bool:
    """Whether a file is all JSON, but laid out otherwise than it seemed."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return not (is_ours and isinstance(content, list) and len(content) == entries)


def _whole_list(path: Path) -> Iterator[bytes]:
    separator = b"[\n"
    with path.open("rb") as file:
        for line in file:
            if (entry := _entry(line)) is not None:
                yield separator + entry
                separator = b",\n"
    yield LIST_END if separator == b",\n" else b"[" + LIST_END


def _entry(line: bytes) -> bytes | None:
    """The object in a line; None if there is none, or no whole one."""
    text = line.strip(b"\0 \r\n,")
    try:
        return text if text[:1] == b"{" and isinstance(json.loads(text), dict) else None
    except (ValueError, RecursionError):
        return None


def _written_anew(path: Path, pieces: Iterable[bytes]) -> str:
    """Replace a file; the name under which it is kept."""
    part = name_aside(path, ".new")
    try:
        with part.open("xb") as file:
            file.writelines(pieces)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    kept = keep_aside(path)
    part.rename(path)
    return kept.name

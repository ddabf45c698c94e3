"""The rows of a run folder's CSV files, each of which knows where it stands."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.recording.csv_text import from_cell
from vla_inference_ros.recording.odd import Leaving, OddError, RecordingError


@dataclass(frozen=True, slots=True)
class Row:
    """A row's ``cells`` by their columns' names; ``where`` is the file and the line."""

    where: str
    cells: dict[str, str]

    def number(self, column: str) -> float:
        """A finite number; OddError if the cell holds none."""
        text = self.cells[column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            what = f"{self.where}: {column} is {text!r}, which is no number"
            raise OddError("not a number", what)
        return value

    def text(self, column: str) -> str:
        """A text as it was before it was written for spreadsheets as well."""
        return from_cell(self.cells[column])

    def number_or(self, column: str, default: float) -> float:
        """Likewise, where older files have no such column."""
        return self.number(column) if column in self.cells else default


def rows(path: Path, columns: Sequence[str], leaving: Leaving) -> Iterator[Row]:
    """The rows of a file that must have ``columns``, in any order; it may have more. A row of
    another length, or that is damaged, is left out. Raises RecordingError.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            yield from _rows(path, file, columns, leaving)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def _rows(
    path: Path, lines: Iterator[str], columns: Sequence[str], leaving: Leaving
) -> Iterator[Row]:
    first = next(lines, "")
    if not first.endswith("\n") and ",".join(columns).startswith(first):
        what = _cut_off(f"{path} ends in its first line")
        leaving.out(OddError("a file that was only begun", what))
        return
    try:
        heading = cells_of(first)
    except UnicodeError as error:
        raise RecordingError(f"{path} is no text in UTF-8: {_cut_off('line 1', error)}") from error
    except ValueError as error:
        raise RecordingError(_cut_off(f"{path}, line 1", error)) from error
    missing = [column for column in columns if column not in heading]
    if missing:
        raise RecordingError(f"{path} lacks the column(s) {', '.join(missing)}")
    for number, line in enumerate(lines, 2):
        where = f"{path}, line {number}"
        try:
            cells = cells_of(line)
        except ValueError as error:
            leaving.out(OddError("a damaged row", _cut_off(where, error)))
            continue
        if not cells:  # an empty line
            continue
        if len(cells) != len(heading):
            what = _cut_off(where, f"{len(cells)} cells, not {len(heading)}")
            leaving.out(OddError("a row that is cut off", what))
            continue
        yield Row(where, dict(zip(heading, cells, strict=True)))


def cells_of(line: str) -> list[str]:
    """The cells of a row, which has no line breaks in it; none of an empty line. ValueError if it
    is damaged.
    """
    line.encode()  # UnicodeError for what was no UTF-8
    if "\0" in line:
        raise ValueError("it is damaged: there are zeros in it")
    if '"' not in line:
        text = line.rstrip("\r\n")
        return text.split(",") if text else []
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _cut_off(where: str, what: object = "") -> str:
    told = f"{where}: {what}" if what else where
    return f"{told}. If its recorder was killed, run `vla-recover` on the folder first"

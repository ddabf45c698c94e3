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
    another length is left out. Raises RecordingError.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                yield from _rows(path, reader, columns, leaving)
            except csv.Error as error:
                raise RecordingError(_cut_off(f"{path}, line {reader.line_num}", error)) from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is no text in UTF-8: {error}") from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def _rows(
    path: Path, reader: Iterator[list[str]], columns: Sequence[str], leaving: Leaving
) -> Iterator[Row]:
    heading = next(reader, [])
    missing = [column for column in columns if column not in heading]
    if missing:
        raise RecordingError(f"{path} lacks the column(s) {', '.join(missing)}")
    for number, cells in enumerate(reader, 2):
        if not cells:  # an empty line
            continue
        where = f"{path}, line {number}"
        if len(cells) != len(heading):
            what = _cut_off(where, f"{len(cells)} cells, not {len(heading)}")
            leaving.out(OddError("a row that is cut off", what))
            continue
        yield Row(where, dict(zip(heading, cells, strict=True)))


def _cut_off(where: str, what: object) -> str:
    return f"{where}: {what}. If its recorder was killed, run `vla-recover` on the folder first"

"""Text in a CSV cell, so that no spreadsheet takes it for a formula, and back.

A cell that begins with one of ``= + - @``, a tab or a carriage return is run by spreadsheets; with
an apostrophe before it, it is shown. Numbers are written by those who know that they are numbers.
"""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_SHOWN = re.compile(r"'+[=+\-@\t\r]")


def to_cell(text: str) -> str:
    """A text as it is written."""
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(cell: str) -> str:
    """The text of a cell that :func:`to_cell` has made."""
    return cell[1:] if _SHOWN.match(cell) else cell

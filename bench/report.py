"""How a bench prints: a figure, its limit and whether it was kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the report; ``limit`` is in words, ``kept`` None where there is none."""

    name: str
    value: str
    limit: str = ""
    kept: bool | None = None


def show(title: str, rows: Iterable[Row]) -> bool:
    """Print the rows; True if every limit is kept."""
    kept = True
    print(f"\n{title}")
    for row in rows:
        mark = {None: "", True: "ok", False: "MISSED"}[row.kept]
        print(f"  {row.name:<46}{row.value:>24}   {row.limit:<16}{mark}", flush=True)
        kept = kept and row.kept is not False
    return kept

"""Shows how far an export is: in seconds of the recording, or else in things."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Thing = TypeVar("Thing")


def shown(timed: Iterable[tuple[float, Thing]], end: float | None) -> Iterator[Thing]:
    """The things, while a terminal shows a bar; ``end`` is the last one's time [Unix s]."""
    if end is None:
        for _, thing in tqdm(timed, "exporting", unit=" things", disable=None):
            yield thing
        return
    start: float | None = None
    seconds = shown_seconds = 0
    with tqdm(desc="exporting", unit="s", disable=None) as bar:
        for time, thing in timed:
            if start is None:
                start = time
                seconds = bar.total = max(1, round(end - start))
            passed = min(int(time - start), seconds)
            if passed > shown_seconds:
                bar.update(passed - shown_seconds)
                shown_seconds = passed
            yield thing

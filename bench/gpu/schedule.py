"""Shares the time among the parts and runs each in a child process, which may fail or hang.

On a GPU each has a child of its own: an error there can spoil a process for all that comes after,
and each is to find the memory empty. On a CPU one child runs all, since its imports take longest.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from report import Row, show

from gpu.parts import Ended, Part, run_parts

_ENDING = 5.0  # the longest that a process takes to end [s]
_UNFINISHED = Ended("CUT SHORT", "the whole run was ended")


@dataclass(slots=True)
class Outcome:
    """What becomes of a part."""

    part: Part
    ended: Ended = _UNFINISHED
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @property
    def kept(self) -> bool:
        """Whether it ended well and every limit is kept."""
        return self.ended.well and all(row.kept is not False for row in self.rows)

    @property
    def line(self) -> str:
        """How it ended, for a person."""
        why = f" ({self.ended.why})" if self.ended.why else ""
        return f"{self.ended.end}{why}, {self.seconds:.1f} s"


def run(
    parts: Sequence[Part],
    seconds: float,
    reduced: bool,
    outcomes: list[Outcome],
    tell: Callable[[], None],
) -> None:
    """Run the parts within ``seconds`` and print each row as it comes.

    Each part's outcome joins ``outcomes`` as it begins; ``tell`` is called as one ends.
    """
    deadline = time.monotonic() + seconds
    child: _Child | None = None
    try:
        for place, part in enumerate(parts):
            limit = _limit(parts[place:], deadline - time.monotonic())
            outcome = Outcome(part)
            outcomes.append(outcome)
            if limit < (1.0 if reduced else part.least):
                outcome.ended = Ended("LEFT OUT: too late", f"{limit:.0f} s are left")
            else:
                child = child or _Child(reduced)
                child.run(outcome, limit)
            print(f"  {part.number}. {outcome.line}", flush=True)
            tell()
            if child is not None and not (reduced and outcome.ended.well):
                child.end()
                child = None
    finally:
        if child is not None:
            child.end()


def _limit(parts: Sequence[Part], left: float) -> float:
    """The first one's time [s]: its share of what is left for all of them."""
    return left * parts[0].share / sum(part.share for part in parts)


class _Child:
    """A process that runs parts."""

    def __init__(self, reduced: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, others = context.Pipe()
        self._process = context.Process(target=run_parts, args=(reduced, others))
        self._process.start()
        others.close()  # so that its end is seen

    def run(self, outcome: Outcome, limit: float) -> None:
        """Run the part of ``outcome`` for no longer than ``limit`` seconds."""
        part, began = outcome.part, time.monotonic()
        try:
            show(f"{part.number}. {part.title}", self._rows(outcome, began + limit))
        finally:
            outcome.seconds = time.monotonic() - began

    def _rows(self, outcome: Outcome, deadline: float) -> Iterator[Row]:
        try:
            self._connection.send(outcome.part)
            while self._connection.poll(max(0.0, deadline - time.monotonic())):
                message = self._connection.recv()
                if isinstance(message, Ended):
                    outcome.ended = message
                    return
                outcome.rows.append(message)
                yield message
            outcome.ended = Ended("CUT SHORT", "it took its whole share of the time")
        except (EOFError, ConnectionError):
            self._process.join(_ENDING)
            code = self._process.exitcode
            outcome.ended = Ended("FAILED", f"its process ended with exit code {code}")

    def end(self) -> None:
        """End it and all processes that it has started."""
        assert self._process.pid is not None
        with suppress(ProcessLookupError):  # it has not yet made its group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._connection.close()

"""The parts of the GPU bench, and the child process that runs them."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Literal

from gpu import guard

# Nothing here may import torch: the parent process reads this module too.

End = Literal["done", "FAILED", "CUT SHORT", "left out", "LEFT OUT: too late"]


@dataclass(frozen=True, slots=True)
class Part:
    """``module`` of this package has ``rows(settings)``. Of the whole time it gets ``share`` to
    those of the others, and on a GPU it is not begun with less than ``least`` seconds.
    """

    number: int
    title: str
    module: str
    share: float
    least: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A part's end, and why it was not done."""

    end: End
    why: str = ""

    @property
    def well(self) -> bool:
        """Whether all was done that can be done here: a package that is missing is no failure."""
        return self.end in ("done", "left out")


PARTS = (
    Part(1, "Graphs and precisions give what the CPU gives", "cases", 55, 25),
    Part(2, "VL update of five views", "vl_update", 165, 40),
    Part(3, "Step of the action expert", "expert", 40, 15),
    Part(4, "float8", "float8", 85, 30),
    Part(5, "Updates of several robots in one pass", "robots", 70, 30),
    Part(6, "Updates and steps at once", "together", 65, 45),
)


def run_parts(reduced: bool, connection: Connection) -> None:
    """A child's work: for each part that is received, send its rows and then an :class:`Ended`.

    In a process group of its own, which ends with the parent: nothing may hold the GPU after it.
    """
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        part: Part = connection.recv()
        connection.send(_run(part, reduced, connection))


def _run(part: Part, reduced: bool, connection: Connection) -> Ended:
    failed = False
    try:
        # Here, for these import torch, which takes a child's time.
        settings = importlib.import_module("gpu.settings").prepared(reduced)
        for row in importlib.import_module(f"gpu.{part.module}").rows(settings):
            failed = failed or row.value == guard.FAILED
            connection.send(row)
    except Exception as error:
        if package := guard.missing(error):
            return Ended("left out", package)
        guard.tell(error)
        return Ended("FAILED", guard.reason(error))
    return Ended("FAILED", "as the rows say") if failed else Ended("done")


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)

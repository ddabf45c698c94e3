"""What a new recording is called: after its start, and with a number where that name is taken.

The start is told in UTC, in which no hour comes twice. A clock that begins anew at each boot still
tells the same start twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path


def stamp(start: float) -> str:
    """``YYYYMMDD_HHMMSS`` of a start [Unix s], in UTC."""
    return time.strftime("%Y%m%d_%H%M%S", time.gmtime(start))


def free_name(path: Path, separator: str = "_") -> Path:
    """``path``, or the first of ``path_2``, ``path_3`` and so on that nothing has, be it a link
    that leads nowhere.
    """
    return next(name for name in _names(path, separator) if not os.path.lexists(name))


def make_folder(path: Path) -> Path:
    """A new folder at ``path``, or under the next free name; OSError if none can be made.

    Of several processes that ask for the same name, each gets one of its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in _names(path, "_"):
        try:
            name.mkdir()
        except FileExistsError:
            continue
        return name
    raise AssertionError("the names do not end")


def _names(path: Path, separator: str) -> Iterator[Path]:
    yield path
    for number in count(2):
        yield path.with_name(f"{path.name}{separator}{number}")

"""What is replaced is kept, under a name that nothing had."""

from __future__ import annotations

from itertools import count
from pathlib import Path

OLD = ".old"


def free_name(path: Path, suffix: str = OLD) -> Path:
    """``path`` with a suffix, and a number if that is taken."""
    for number in count(1):
        found = path.with_name(f"{path.name}{suffix}{number if number > 1 else ''}")
        if not found.exists():
            return found
    raise AssertionError  # numbers do not end


def keep_aside(path: Path) -> Path:
    """Rename a file; its new path."""
    kept = free_name(path)
    path.rename(kept)
    return kept

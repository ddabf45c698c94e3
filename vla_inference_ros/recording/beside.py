"""Where a command puts what it makes of a recording, unless it is told otherwise: beside it."""

from __future__ import annotations

from pathlib import Path


def beside(recording: Path, ending: str) -> Path:
    """In the recording's own folder, under its name with ``ending`` behind; the name is found also
    of ``.`` and of links.
    """
    whole = recording.resolve()
    name = whole.stem if whole.is_file() else whole.name
    return whole.with_name(f"{name}_{ending}")

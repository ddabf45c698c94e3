"""What is replaced is kept, under a name that nothing had."""

from __future__ import annotations

from pathlib import Path

from vla_inference_ros.recording.new_names import free_name

OLD = ".old"


def name_aside(path: Path, suffix: str = OLD) -> Path:
    """``path`` with a suffix, and a number if that is taken."""
    return free_name(path.with_name(f"{path.name}{suffix}"), separator="")


def keep_aside(path: Path) -> Path:
    """Rename a file; its new path."""
    kept = name_aside(path)
    path.rename(kept)
    return kept

"""The disk that recordings go to: whether they can be written, and for how long."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning

BYTES_PER_RECORDER = 25e6  # a second, at the rig's full rate
SHORT = 30.0  # less is worth a warning [min]
LEAST = 1.0  # less is no recording [min]


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """``free`` bytes for this user at ``folder``, of which ``reserve`` stay; ``error`` says why
    nothing can be written.
    """

    folder: Path
    free: float
    reserve: float
    error: str = ""


def gather_disk(
    folder: Path, reserve: float, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs
) -> DiskFacts:
    """Of the folder, or, while it does not exist, the one in which it would be made."""
    try:
        folder = folder.expanduser().absolute()
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir():
            return DiskFacts(folder, 0.0, reserve, f"{there} is no folder")
        if not os.access(there, os.W_OK | os.X_OK):
            return DiskFacts(folder, 0.0, reserve, f"this user may not write to {there}")
        found = statvfs(there)
    except (OSError, RuntimeError) as error:  # RuntimeError: of a home that is none
        return DiskFacts(folder, 0.0, reserve, str(error))
    return DiskFacts(folder, float(found.f_bavail) * found.f_frsize, reserve)


def disk_space(facts: DiskFacts, recorders: int, duration: float) -> Result:
    """Minutes until the recorders, which run at once, reach the reserve; ``duration`` [s] is how
    long the run is to last, 0 if that is not known.
    """
    check = "disk of output_dir"
    if not recorders:
        return skipped(check, "neither record nor save_data is asked for")
    if facts.error:
        return problem(check, facts.error, "give output_dir:= a folder that can be written to")
    rate = recorders * BYTES_PER_RECORDER
    minutes = max(0.0, facts.free - facts.reserve) / rate / 60
    told = (
        f"{facts.folder}: {facts.free / 1e9:.1f} GB free, {minutes:.0f} minutes at "
        f"{rate / 1e6:.0f} MB/s"
    )
    remedy = "free some, give output_dir:= a larger disk, or let only one of the two record"
    values = {"free_bytes": facts.free, "minutes": minutes}
    if minutes < max(LEAST, duration / 60):
        needs = f", and {duration / 60:.0f} are needed" if duration else ""
        return problem(check, told + needs, remedy, **values)
    if minutes < SHORT:
        return warning(check, told, remedy, **values)
    return ok(check, told, **values)

"""Finishes the sensor's file of a run whose recorder was killed.

What a power cut leaves behind the last bytes that reached the disk is zeros, of which samples of
1970 would be made: a journal's row without times is none.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import ASCAN_LENGTH, MAX_SAMPLES_PER_DATAGRAM
from vla_inference_ros.recording.kept_aside import keep_aside, name_aside
from vla_inference_ros.recording.sensor_file import COLUMNS, DATA, finish, parts

_HEAD = struct.Struct("<I")  # of a journal: the points of an A-scan
_TIMES = ("timestamps", "send_timestamps", "clock_offsets", "recv_timestamps")
_NEVER_ZERO = ("timestamps", "recv_timestamps")
_BLOCK = 1 << 20  # read at once [bytes]


@dataclass(frozen=True, slots=True)
class RecoveredSamples:
    """How many samples a file has, and how many rows were ``damaged``. What is not in the file is
    ``kept`` under these names.
    """

    samples: int
    damaged: int = 0
    kept: tuple[str, ...] = ()

    def __str__(self) -> str:
        """For people."""
        damaged = f", {self.damaged} damaged ones left out" if self.damaged else ""
        kept = f"; what was there is kept as {' and '.join(self.kept)}" if self.kept else ""
        return f"{self.samples} samples, finished now{damaged}{kept}"


def recover_sensor_file(path: Path) -> RecoveredSamples:
    """Finish the file ``path`` that was being written when its process ended. If it had no sample,
    what is left of it is removed; what cannot be used is kept under another name. OSError.
    """
    part, journal = parts(path)
    if path.exists() and not part.exists():  # finished, but for this
        journal.unlink(missing_ok=True)
        return RecoveredSamples(0)
    rows = journal.stat().st_size - _HEAD.size if journal.exists() else 0
    size = part.stat().st_size - DATA if part.exists() else 0
    if size <= 0 or rows < COLUMNS.itemsize:
        return _of_nothing(part, journal, size, rows)
    there = rows // COLUMNS.itemsize
    points = _points(journal, there, size)
    samples = min(size // (4 * points), there) if points else 0
    good = _good(journal, samples)
    last = int(np.flatnonzero(good)[-1]) + 1 if good.any() else 0
    if last == 0:
        return RecoveredSamples(0, there, tuple(keep_aside(each).name for each in (part, journal)))
    kept: tuple[str, ...] = ()
    if not good[:last].all():
        kept = _compacted(part, journal, good[:last], points)
        last = int(good.sum())
    elif size // (4 * points) - last > MAX_SAMPLES_PER_DATAGRAM:
        kept = (_copied(part, DATA + last * 4 * points),)  # without times, but all there is
    finish(path, points, last, _crc_of(part, last * points * 4))
    return RecoveredSamples(last, samples - int(good.sum()), kept)


def _of_nothing(part: Path, journal: Path, size: int, rows: int) -> RecoveredSamples:
    """Without a whole sample; what is more than begun is kept."""
    kept = []
    for each, content in ((part, size), (journal, rows)):
        if content >= COLUMNS.itemsize:
            kept.append(keep_aside(each).name)
        else:
            each.unlink(missing_ok=True)
    return RecoveredSamples(0, max(0, rows) // COLUMNS.itemsize, tuple(kept))


def _points(journal: Path, rows: int, size: int) -> int:
    """How many points the A-scans have that are ``size`` bytes and have so many ``rows``. It stands
    in the journal, if that is not damaged.
    """
    with journal.open("rb") as file:
        (told,) = _HEAD.unpack(file.read(_HEAD.size))
    for points in (told, ASCAN_LENGTH):
        if points and abs(size // (4 * points) - rows) <= MAX_SAMPLES_PER_DATAGRAM:
            return int(points)
    if told and size // (4 * told) > 0:  # one of the two has lost its end
        return int(told)
    return int(size // (4 * rows))


def _rows(journal: Path, count: int) -> NDArray[np.void]:
    return np.memmap(journal, COLUMNS, "r", _HEAD.size, (count,))


def _good(journal: Path, samples: int) -> NDArray[np.bool_]:
    """Which samples' rows are whole: their times are numbers, and not 1970."""
    good = np.ones(samples, np.bool_)
    if samples:
        rows = _rows(journal, samples)
        for name in _TIMES:
            good &= np.isfinite(rows[name])
        for name in _NEVER_ZERO:
            good &= rows[name] != 0
    return good


def _compacted(part: Path, journal: Path, good: NDArray[np.bool_], points: int) -> tuple[str, ...]:
    """Leave out samples in the middle; the names under which the files as they were are kept."""
    new = [name_aside(each, ".new") for each in (part, journal)]
    try:
        with part.open("rb") as source, new[0].open("xb") as target:
            target.write(bytes(DATA))
            for number in np.flatnonzero(good):
                source.seek(DATA + int(number) * 4 * points)
                target.write(source.read(4 * points))
        with new[1].open("xb") as target:
            target.write(_HEAD.pack(points))
            target.write(_rows(journal, len(good))[good].tobytes())
    except BaseException:
        for each in new:
            each.unlink(missing_ok=True)
        raise
    kept = tuple(keep_aside(each).name for each in (part, journal))
    for each, name in zip(new, (part, journal), strict=True):
        each.rename(name)
    return kept


def _copied(part: Path, begin: int) -> str:
    """Copy what stands behind a place to a file beside; its name."""
    target = name_aside(part, ".cut")
    try:
        with part.open("rb") as source, target.open("xb") as file:
            source.seek(begin)
            shutil.copyfileobj(source, file)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target.name


def _crc_of(part: Path, size: int) -> int:
    with part.open("rb") as file:
        file.seek(DATA)
        return _crc(file, size)


def _crc(file: BinaryIO, size: int) -> int:
    crc = 0
    while size and (block := file.read(min(size, _BLOCK))):
        crc = zlib.crc32(block, crc)
        size -= len(block)
    return crc

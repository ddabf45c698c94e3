"""The sensor's NPZ file, written sample by sample: whole at the end, and recoverable at any moment.

An NPZ is a ZIP of ``.npy`` members, and only the A-scans are large. They are written as the first
member while they come, with room for its two headers in front; the small columns go to a journal
beside it. To finish is to fill in the headers and to append the small members: no time, however
long the run was. ZIP: PKWARE's APPNOTE.TXT, 4.3; NPY: ``numpy.lib.format``.
"""

from __future__ import annotations

import errno
import math
import os
import struct
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.recording.appending import check_size, open_new, stands, write_all

PART = ".part"  # behind the name of a file that is not finished
_JOURNAL = ".rows" + PART  # likewise, of the journal beside it
_BIG = "alines.npy"  # the name that readers of these files know the A-scans by
COLUMNS = np.dtype(
    [
        ("timestamps", "<f8"),
        ("send_timestamps", "<f8"),
        ("forces", "<f4"),
        ("clock_offsets", "<f8"),
        ("recv_timestamps", "<f8"),
    ]
)
_LOCAL_HEADER = 30 + len(_BIG) + 20  # APPNOTE 4.3.7 with the extra field of ZIP64
_NPY_HEADER = 128  # bytes, of them 10 before the description
DATA = _LOCAL_HEADER + _NPY_HEADER
_HEADERS = 4096  # of the other members and of ZIP's directory: more than they take [bytes]
_DATE = (1980, 1, 1, 0, 0, 0)  # ZIP's earliest; the files' own time tells when
_CRC_POLYNOMIAL = 0xEDB88320  # of ZIP's CRC-32, reflected


class SensorFile:
    """Writes ``path``, a ``.npz`` of n samples: ``timestamps``, ``send_timestamps`` (n,) float64
    [Unix s], ``forces`` (n,) float32 [N], ``alines`` (n, points) float32, ``clock_offsets`` (n,)
    float64 [s], what was added to the sender's times, and ``recv_timestamps`` (n,) float64, equal
    for the samples of a datagram.

    Every batch is with the system when ``append`` returns; until ``close`` under a name that ends
    in ``.part``. It has ``most`` bytes once it is whole. For one thread.
    """

    def __init__(self, path: Path, points: int, most: float = math.inf) -> None:
        """OSError, and nothing is left of it, if it cannot be begun."""
        self._path, self._points, self._most = path, points, most
        self._samples = 0
        self._crc = 0
        with ExitStack() as undo:  # what is left there would be in the next attempt's way
            self._part, self._rows = (_begin(file, undo) for file in parts(path))
            write_all(self._part, bytes(DATA))
            write_all(self._rows, struct.pack("<I", points))
            undo.pop_all()

    def append(
        self,
        times: NDArray[np.float64],
        send_times: NDArray[np.float64],
        force: NDArray[np.float32],
        ascan: NDArray[np.float32],
        clock_offset: float,
        received: float,
    ) -> None:
        """Add samples: (n,), (n,), (n,) and (n, points), all of which were ``received`` at once.

        OSError leaves the file as it was, with EFBIG if it would be too large; ValueError is for
        another number of points.
        """
        if ascan.shape != (len(times), self._points):
            raise ValueError(
                f"A-scans of shape {ascan.shape}, not {len(times)} of {self._points} points: "
                "did the sensor's A-scan length change during the run?"
            )
        check_size(self._size_with(self._samples + len(times)), self._most)
        columns = np.empty(len(times), COLUMNS)
        columns["timestamps"], columns["send_timestamps"] = times, send_times
        columns["forces"], columns["clock_offsets"] = force, clock_offset
        columns["recv_timestamps"] = received
        data = ascan.astype("<f4", copy=False).tobytes()
        try:
            write_all(self._part, data)
            write_all(self._rows, columns.tobytes())
        except OSError:
            os.ftruncate(self._part, DATA + self._samples * self._points * 4)
            os.ftruncate(self._rows, 4 + self._samples * COLUMNS.itemsize)
            for descriptor in (self._part, self._rows):
                os.lseek(descriptor, 0, os.SEEK_END)
            raise
        self._crc = zlib.crc32(data, self._crc)
        self._samples += len(times)

    def _size_with(self, samples: int) -> int:
        """Of the whole file, at most."""
        return DATA + samples * (self._points * 4 + COLUMNS.itemsize) + _HEADERS

    def is_there(self) -> bool:
        """Whether what is written still stands where it was made."""
        part, journal = parts(self._path)
        return stands(part, self._part) and stands(journal, self._rows)

    def close(self) -> None:
        """Finish the file and give it its name. OSError, also if another stands in its place."""
        is_there = self.is_there()
        os.close(self._part)
        os.close(self._rows)
        if not is_there:
            gone, _ = parts(self._path)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(gone))
        finish(self._path, self._points, self._samples, self._crc)


def _begin(path: Path, undo: ExitStack) -> int:
    descriptor = open_new(path)
    undo.callback(path.unlink)
    undo.callback(os.close, descriptor)
    return descriptor


def parts(path: Path) -> tuple[Path, Path]:
    """Of a file that is not finished: its samples' A-scans, and the journal of all else."""
    return path.with_name(path.name + PART), path.with_name(path.name + _JOURNAL)


def finish(path: Path, points: int, samples: int, crc: int) -> None:
    """Make a file of its parts, of which so many ``samples`` are whole. ``crc`` is of the A-scans'
    bytes alone.
    """
    part, journal = parts(path)
    size = samples * points * 4
    npy = _npy_header(samples, points)
    member = zipfile.ZipInfo(_BIG, _DATE)
    member.header_offset = 0
    member.CRC = _joined_crc(zlib.crc32(npy), crc, size)
    member.file_size = member.compress_size = len(npy) + size
    columns = np.empty(0, COLUMNS)
    if samples:
        columns = np.memmap(journal, COLUMNS, "r", 4, (samples,))
    with part.open("r+b") as file:
        file.truncate(DATA + size)
        file.write(member.FileHeader(zip64=True) + npy)
        with zipfile.ZipFile(file, "a", allowZip64=True) as archive:
            archive.filelist.append(member)
            archive.NameToInfo[_BIG] = member
            for name in COLUMNS.names or ():
                with archive.open(zipfile.ZipInfo(f"{name}.npy", _DATE), "w") as stream:
                    np.lib.format.write_array(stream, columns[name])  # block by block
    part.rename(path)
    journal.unlink()


def _npy_header(samples: int, points: int) -> bytes:
    """Of a C-ordered float32 array (samples, points), padded to its fixed length."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({samples}, {points}), }}"
    room = _NPY_HEADER - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", room) + text.ljust(room - 1).encode() + b"\n"


def _joined_crc(first: int, second: int, length: int) -> int:
    """The CRC-32 of two pieces of data in a row, of which the second has ``length`` bytes.

    A CRC is a remainder of polynomials over GF(2): the first's, moved up by 8 bits for each byte
    behind it, plus the second's.
    """
    moved, square, exponent = 1 << 31, 1 << 30, 8 * length  # 1 and x: the top bit is x to the 0
    while exponent:
        if exponent & 1:
            moved = _product(moved, square)
        square = _product(square, square)
        exponent >>= 1
    return _product(moved, first) ^ second


def _product(a: int, b: int) -> int:
    """Of two remainders, itself a remainder."""
    result = 0
    for power in range(32):
        if a >> (31 - power) & 1:
            result ^= b
        b = b >> 1 ^ (_CRC_POLYNOMIAL if b & 1 else 0)
    return result

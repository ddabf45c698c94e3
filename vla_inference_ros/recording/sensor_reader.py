"""The sensor's NPZ file, read in blocks: its samples as the datagrams that they came in."""

from __future__ import annotations

import errno
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import MAX_SAMPLES_PER_DATAGRAM, SensorDatagram
from vla_inference_ros.recording.odd import Leaving, OddError, RecordingError
from vla_inference_ros.recording.traffic import Received

_BLOCK = 240  # samples that are read at once, about 1 MB
_REQUIRED = ("timestamps", "send_timestamps", "forces", "alines")
_OPTIONAL = ("clock_offsets", "recv_timestamps")  # older files have none of these
_FIELDS = {
    "timestamps": "time",
    "send_timestamps": "sent",
    "forces": "force",
    "alines": "ascan",
    "clock_offsets": "offset",
    "recv_timestamps": "received",
}


def read_samples(path: Path, leaving: Leaving) -> Iterator[Received[SensorDatagram]]:
    """The datagrams of a file, in its order; their arrays are read-only.

    Samples of equal ``recv_timestamps`` in a row came in one. Where a file has none, it is those of
    equal send times, or, if every sample has its own, as many as fit; they count as received when
    the last one was sent. OddError if the file is damaged, perhaps after some of them; and
    RecordingError if it cannot be read or holds something else.
    """
    rest: NDArray[np.void] | None = None
    for block in _blocks(path, leaving):
        if not len(block):
            continue
        joined = block if rest is None else np.concatenate([rest, block])
        joined.flags.writeable = False
        starts = _starts(joined)
        for start, end in pairwise(starts):
            yield _datagram(joined[start:end])
        rest = joined[starts[-1] :]  # perhaps it goes on in the next block
    if rest is not None:
        yield _datagram(rest)


def _starts(samples: NDArray[np.void]) -> list[int]:
    """Where datagrams begin. Times never decrease in one, and it has one clock offset."""
    begins = (samples["group"][1:] != samples["group"][:-1]) | (
        samples["offset"][1:] != samples["offset"][:-1]
    )
    begins |= samples["time"][1:] < samples["time"][:-1]
    starts = [0]
    for number, is_next in enumerate(begins.tolist(), 1):
        if is_next or number - starts[-1] == MAX_SAMPLES_PER_DATAGRAM:
            starts.append(number)
    return starts


def _datagram(samples: NDArray[np.void]) -> Received[SensorDatagram]:
    offset = samples["offset"]
    times, sent = samples["time"] - offset, samples["sent"] - offset
    for array in (times, sent):
        array.flags.writeable = False
    packet = SensorDatagram(times, sent, samples["force"], samples["ascan"])
    return Received(packet, float(offset[0]), float(samples["received"][-1]))


def _blocks(path: Path, leaving: Leaving) -> Iterator[NDArray[np.void]]:
    """All samples, with ``group`` equal for those of one datagram."""
    with _opened(path) as columns:
        count = columns["timestamps"].count
        if count == 0:
            return
        for column in columns.values():
            column.check(count, 2 if column.name == "alines" else 1)
        (points,) = columns["alines"].row_shape
        kind = np.dtype(
            [(name, "<f8") for name in ("time", "sent", "offset", "received", "group")]
            + [("force", "<f4"), ("ascan", "<f4", (points,))]
        )
        by_send_time: bool | None = None
        for first in range(0, count, _BLOCK):
            size = min(_BLOCK, count - first)
            block = np.zeros(size, kind)
            for name, column in columns.items():
                block[_FIELDS[name]] = column.read(size)
            block = _with_times(path, block, first, leaving)
            if "recv_timestamps" in columns:
                block["group"] = block["received"]
            else:
                block["received"] = block["sent"]
                if by_send_time is None:
                    by_send_time = bool((block["sent"][1:] == block["sent"][:-1]).any())
                if by_send_time:
                    block["group"] = block["sent"]
            yield block


def _with_times(
    path: Path, block: NDArray[np.void], first: int, leaving: Leaving
) -> NDArray[np.void]:
    """The samples of a block whose times are all known; its first is the file's ``first``."""
    good = np.ones(len(block), np.bool_)
    for name in ("time", "sent", "offset", "received"):
        bad = good & ~np.isfinite(block[name])
        for number in np.flatnonzero(bad):
            what = f"{path}: sample {first + int(number)} has {block[name][number]} for its {name}"
            leaving.out(OddError("not finite", what))
        good &= ~bad
    return block if good.all() else block[good]


class _Column:
    """An array of the file, of which the next rows can be read."""

    def __init__(self, path: Path, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self._path, self._stream = path, stream
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        else:
            header = np.lib.format.read_array_header_2_0(stream)
        self._shape, self._by_column, self._kind = header

    @property
    def count(self) -> int:
        """How many rows it has in all."""
        return int(self._shape[0]) if self._shape else 0

    @property
    def row_shape(self) -> tuple[int, ...]:
        """() or (points,)."""
        return tuple(self._shape[1:])

    def check(self, count: int, dimensions: int) -> None:
        """RecordingError unless it has so many rows of numbers."""
        if self._kind.kind not in "fiu":
            raise RecordingError(f"{self._path}: {self.name} holds {self._kind}, not numbers")
        if self.count != count or len(self._shape) != dimensions:
            raise RecordingError(
                f"{self._path}: {self.name} has the shape {self._shape}, but there are {count} "
                "timestamps"
            )
        if self._by_column and dimensions > 1:
            raise RecordingError(
                f"{self._path}: {self.name} is stored column by column, so that it cannot be read "
                "in blocks: save it again from np.ascontiguousarray"
            )

    def read(self, rows: int) -> NDArray[np.generic]:
        """The next rows."""
        shape = (rows, *self.row_shape)
        size = int(np.prod(shape)) * self._kind.itemsize
        data = self._stream.read(size)
        if len(data) != size:
            raise EOFError(f"{self.name} ends too early")
        return np.frombuffer(data, self._kind).reshape(shape)


@contextmanager
def _opened(path: Path) -> Iterator[dict[str, _Column]]:
    """The file's columns; what goes wrong meanwhile becomes a RecordingError."""
    try:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path))
            held = {name.removesuffix(".npy") for name in archive.namelist()}
            missing = [name for name in _REQUIRED if name not in held]
            if missing:
                raise RecordingError(f"{path} lacks {', '.join(missing)}")
            names = [*_REQUIRED, *(name for name in _OPTIONAL if name in held)]
            streams = {name: stack.enter_context(archive.open(f"{name}.npy")) for name in names}
            yield {name: _Column(path, name, stream) for name, stream in streams.items()}
    except RecordingError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the file's beginning, by a wrong number
            raise _damaged(path, error) from error
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error


def _damaged(path: Path, error: Exception) -> OddError:
    what = f"{path} is damaged: {error}. Was it cut off when it was copied?"
    return OddError("a damaged file", what)

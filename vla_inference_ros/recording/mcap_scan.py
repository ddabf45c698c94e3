"""Reads MCAP files, also those whose end is missing: what is in them, and their messages in order.

In a file with a summary that tells where all is; any other is walked through from record to record,
up to the last whole one. What is held is an entry of some bytes for each chunk, and at any moment
the messages of as many chunks as overlap in time.
"""

from __future__ import annotations

import heapq
import struct
import sys
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple
from zlib import crc32

import numpy as np

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_format import McapError

_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")
# What a chunk may hold once it is decompressed. Recorders' chunks have some MB; a small file can
# claim any size, and one that is so compressed takes all memory [bytes].
MOST_CHUNK = 256 << 20
_RUN_SIZE = 4 << 20  # of messages outside of chunks that are read together [bytes]


class Record(NamedTuple):
    """A record's content: ``length`` bytes from ``at`` on."""

    opcode: int
    at: int
    length: int

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.at + self.length


@dataclass(frozen=True, slots=True)
class Chunk:
    """An opened chunk, or messages outside of any: records from ``begin`` to ``end`` of a
    ``stream``. ``start`` is the log time [ns] of the first.
    """

    start: int
    last: int
    stream: BinaryIO
    begin: int
    end: int
    compression: str
    compressed: int


def records(stream: BinaryIO, at: int, end: int) -> Iterator[Record]:
    """Those from ``at`` to ``end``. The stream then stands at the content, which need not be read.

    McapError where what stands there is not a whole one.
    """
    while at < end:
        stream.seek(at)
        head = stream.read(mcap.RECORD.size)
        opcode, length = mcap.RECORD.unpack(head) if len(head) == mcap.RECORD.size else (0, 0)
        found = Record(opcode, at + mcap.RECORD.size, length)
        if opcode == 0 or found.end > end:
            raise McapError(f"it is damaged, or was cut off, at byte {at}")
        yield found
        at = found.end


def open_chunk(file: BinaryIO, found: Record) -> Chunk:
    """A chunk's content: where it is in the file, or out of it if it is compressed."""
    file.seek(found.at)
    start, last, size, crc = mcap.CHUNK_HEAD.unpack(mcap.read_exactly(file, mcap.CHUNK_HEAD.size))
    (name_length,) = _UINT32.unpack(mcap.read_exactly(file, 4))
    compression = mcap.read_exactly(file, min(name_length, found.length)).decode("ascii", "replace")
    (compressed,) = _UINT64.unpack(mcap.read_exactly(file, 8))
    begin = file.tell()
    if begin + compressed > found.end:
        raise McapError(f"the chunk at byte {found.at} is damaged")
    if not compression:
        return Chunk(start, last, file, begin, begin + compressed, compression, compressed)
    if size > MOST_CHUNK:
        raise McapError(
            f"the chunk at byte {found.at} says that it holds {size >> 20} MB, over the limit of "
            f"{MOST_CHUNK >> 20} MB: write the file again with smaller chunks, as the mcap tool can"
        )
    content = _decompressed(compression, mcap.read_exactly(file, compressed), size)
    if len(content) != size or (crc and crc32(content) != crc):
        raise McapError(f"the chunk at byte {found.at} is damaged")
    return Chunk(start, last, BytesIO(content), 0, size, compression, compressed)


def _decompressed(compression: str, data: bytes, size: int) -> bytes:
    """What was compressed of it, and no more than ``size`` bytes, of which one is too many."""
    try:
        if compression == "zstd":
            return _zstd(data, size + 1)
        if compression == "lz4":
            import lz4.frame  # type: ignore[import-untyped]

            found: bytes = lz4.frame.LZ4FrameDecompressor().decompress(data, size + 1)
            return found
    except Exception as error:  # each library has its own
        raise McapError(f"a chunk cannot be decompressed: {error}") from error
    raise McapError(f"its chunks are compressed with {compression!r}, not zstd or lz4")


def _zstd(data: bytes, most: int) -> bytes:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    content = b""
    while data and len(content) < most:  # one frame, or some behind each other
        decompressor = zstd.ZstdDecompressor()
        content += decompressor.decompress(data, most - len(content))
        if not decompressor.eof:
            break
        data = decompressor.unused_data
    return content


class McapScan:
    """What an MCAP file holds: its topics, and where its messages are.

    Raises McapError if nothing of it can be read. A file without an end is not ``complete``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_regular(path) as file:
            self.size = file.seek(0, 2)
            self.begin = self._read_header(file)
            file.seek(max(0, self.size - mcap.FOOTER_SIZE))
            summary = mcap.summary_start(file.read())
            self.complete = summary is not None
            self._forget()
            if not summary or not self._read_summary(file, summary):
                self._forget()
                self._walk(file)

    def _forget(self) -> None:
        self.schemas: dict[int, mcap.Schema] = {}
        self.channels: dict[int, mcap.Channel] = {}
        # A span of the file is a chunk, or a run of messages outside of any.
        self.starts, self._begins, self._ends = array("Q"), array("Q"), array("Q")

    def _read_header(self, file: BinaryIO) -> int:
        """Where the first record after it is."""
        file.seek(0)
        magic = file.read(len(mcap.MAGIC))
        if not magic:
            raise McapError("the file is empty")
        if magic != mcap.MAGIC:
            raise McapError("it is no MCAP file, or its beginning is damaged")
        for found in records(file, len(mcap.MAGIC), self.size):
            if found.opcode == mcap.HEADER:
                profile = mcap.Fields(mcap.read_exactly(file, found.length)).string()
                if profile == "ros2":
                    return found.end
                raise McapError(f"its profile is {profile!r}, not 'ros2'")
            break
        raise McapError("it ends before, or without, its first record")

    def _read_summary(self, file: BinaryIO, start: int) -> bool:
        """Whether it tells of all topics and where all messages are."""
        messages = 0
        for found in records(file, start, self.size - mcap.FOOTER_SIZE):
            content = mcap.read_exactly(file, found.length)
            self._note(found.opcode, content)
            if found.opcode == mcap.CHUNK_INDEX:
                chunk = mcap.ChunkIndex.unpack(content)
                self._add_span(chunk.start, chunk.offset, chunk.offset + chunk.size)
            elif found.opcode == mcap.STATISTICS:
                messages = mcap.Statistics.unpack(content).messages
        named = {channel.schema for channel in self.channels.values()} <= set(self.schemas)
        return named and bool(self.channels) and (bool(self.starts) or not messages)

    def _walk(self, file: BinaryIO) -> None:
        """Go from record to record; without an end, as far as they are whole."""
        run: tuple[int, int, int] | None = None
        try:
            for found in records(file, self.begin, self.size):
                if found.opcode in (mcap.DATA_END, mcap.FOOTER):
                    break
                if found.opcode == mcap.CHUNK:
                    self._walk_chunk(file, found)
                elif found.opcode == mcap.MESSAGE:
                    run = self._extended(run, found, head_of(file, found)[1])
                elif found.opcode in (mcap.SCHEMA, mcap.CHANNEL):
                    self._note(found.opcode, mcap.read_exactly(file, found.length))
        except McapError:
            if self.complete:
                raise
        if run:
            self._add_span(*run)

    def _walk_chunk(self, file: BinaryIO, found: Record) -> None:
        chunk = open_chunk(file, found)
        for inner in records(chunk.stream, chunk.begin, chunk.end):
            if inner.opcode in (mcap.SCHEMA, mcap.CHANNEL):
                self._note(inner.opcode, mcap.read_exactly(chunk.stream, inner.length))
        self._add_span(chunk.start, found.at - mcap.RECORD.size, found.end)

    def _extended(
        self, run: tuple[int, int, int] | None, found: Record, stamp: int
    ) -> tuple[int, int, int]:
        """A run with one message more; if it has become long, a new one."""
        begin = found.at - mcap.RECORD.size
        if run and begin - run[1] < _RUN_SIZE:
            return min(run[0], stamp), run[1], found.end
        if run:
            self._add_span(*run)
        return stamp, begin, found.end

    def _add_span(self, start: int, begin: int, end: int) -> None:
        if end > self.size:
            raise McapError("its summary tells of more than there is")
        self.starts.append(start)
        self._begins.append(begin)
        self._ends.append(end)

    def _note(self, opcode: int, content: bytes) -> None:
        if opcode == mcap.SCHEMA:
            schema = mcap.Schema.unpack(content)
            self.schemas[schema.id] = schema
        elif opcode == mcap.CHANNEL:
            channel = mcap.Channel.unpack(content)
            self.channels[channel.id] = channel

    def type_of(self, channel: mcap.Channel) -> str:
        """The type of a topic's messages; empty if the file does not say."""
        schema = self.schemas.get(channel.schema)
        return schema.name if schema else ""

    def read_span(
        self, file: BinaryIO, number: int, channels: Collection[int]
    ) -> Iterator[tuple[int, int, bytes]]:
        """(log time, channel, data) of a span's messages on some channels, as they stand there.

        What is on others is not read if it is not compressed.
        """
        begin, end = self._begins[number], self._ends[number]
        first = next(records(file, begin, end))
        if first.opcode == mcap.CHUNK:
            chunk = open_chunk(file, first)
            file, begin, end = chunk.stream, chunk.begin, chunk.end
        for found in records(file, begin, end):
            if found.opcode == mcap.MESSAGE:
                channel, stamp = head_of(file, found)
                if channel in channels:
                    size = found.length - mcap.MESSAGE_HEAD.size
                    yield stamp, channel, mcap.read_exactly(file, size)


def head_of(stream: BinaryIO, found: Record) -> tuple[int, int]:
    """A message's channel and log time."""
    if found.length < mcap.MESSAGE_HEAD.size:
        raise McapError(f"the message at byte {found.at} is damaged")
    head = mcap.read_exactly(stream, mcap.MESSAGE_HEAD.size)
    channel, _, stamp, _ = mcap.MESSAGE_HEAD.unpack(head)
    return channel, stamp


def messages(
    files: Sequence[tuple[McapScan, Collection[int]]],
) -> Iterator[tuple[McapScan, int, int, bytes]]:
    """(file, channel, log time, data) of the messages of some channels of each file, by log time;
    those of the same time as they stand there.
    """
    starts = np.concatenate([np.asarray(scan.starts, np.uint64) for scan, _ in files])
    owners = np.repeat(np.arange(len(files)), [len(scan.starts) for scan, _ in files])
    firsts = np.cumsum([0] + [len(scan.starts) for scan, _ in files])
    waiting: list[tuple[int, int, int, int, bytes]] = []  # also that stand before later spans
    number = count()
    order = np.argsort(starts, kind="stable")
    # A bag can have more files than a process may have open, of which it needs few at a time.
    ends = {int(owners[span]): place for place, span in enumerate(order)}
    streams: dict[int, BinaryIO] = {}
    with ExitStack() as stack:
        for place, span in enumerate(order):
            while waiting and waiting[0][0] < starts[span]:
                stamp, _, owner, channel, data = heapq.heappop(waiting)
                yield files[owner][0], channel, stamp, data
            owner = int(owners[span])
            scan, channels = files[owner]
            inside = int(span - firsts[owner])
            if owner not in streams:
                streams[owner] = stack.enter_context(scan.path.open("rb"))
            for stamp, channel, data in scan.read_span(streams[owner], inside, channels):
                heapq.heappush(waiting, (stamp, next(number), owner, channel, data))
            if ends[owner] == place:
                streams.pop(owner).close()
        while waiting:
            stamp, _, owner, channel, data = heapq.heappop(waiting)
            yield files[owner][0], channel, stamp, data

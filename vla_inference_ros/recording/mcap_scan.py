"""What is in an MCAP file, also in one that is damaged or whose end is missing, and where.

A summary that tells of all messages is believed; else the file is walked through from record to
record, and over what is none. What is held is an entry of some bytes for each chunk.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vla_inference_ros.core.regular_file import open_regular
from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.chunk_times import ChunkTimes
from vla_inference_ros.recording.mcap_chunks import open_chunk
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_record import Record, head_of
from vla_inference_ros.recording.mcap_records import Damage, next_record, walk, walk_file
from vla_inference_ros.recording.mcap_summary import (
    Summary,
    has_summary,
    read_summary,
    tells_of_all,
)

_RUN_SIZE = 4 << 20  # of messages outside of chunks that are read together [bytes]


@dataclass(frozen=True, slots=True)
class Loss:
    """A part of a file that cannot be read, and ``why``. ``messages`` are those that were in it, by
    channel, as far as their index is behind it.
    """

    why: str
    messages: Counter[int]


class McapScan:
    """What an MCAP file holds: its topics, and where its messages are.

    Raises McapError if nothing of it can be read. A file without an end is not ``complete``. Its
    ``name`` is for people.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path, self.name = path, name or str(path)
        self.schemas: dict[int, mcap.Schema] = {}
        self.channels: dict[int, mcap.Channel] = {}
        self.losses: list[Loss] = []  # outside of chunks; in them, what reads them finds it
        # A span of the file is a chunk, or a run of messages outside of any.
        self.starts, self._begins, self._ends = array("Q"), array("Q"), array("Q")
        with open_regular(path) as file:
            self.size = file.seek(0, 2)
            self.complete = _ends(file, self.size)
            self._read_header(file)
            self.summary = read_summary(file, self.size) if self.complete else None
            # Other readers rely on it.
            self.end_is_damaged = self.complete and not self.summary and has_summary(file)
            self.is_indexed = bool(self.summary and tells_of_all(file, self.begin, self.summary))
            if self.summary and self.is_indexed:
                for chunk in self.summary.chunks:
                    self._add_span(chunk.start, chunk.offset, chunk.offset + chunk.size)
            else:
                self._walk(file)
            if self.summary:
                self._take_from(self.summary)

    @property
    def told(self) -> dict[int, int] | None:
        """How many messages the file says that it has, by channel."""
        statistics = self.summary.statistics if self.summary else None
        return statistics.counts if statistics else None

    def _read_header(self, file: BinaryIO) -> None:
        """Where the first record after it is, and ``profile``; None if that is damaged."""
        self.profile: str | None = None
        self.header = b""  # the record
        file.seek(0)
        magic = file.read(len(mcap.MAGIC))
        if not magic:
            raise McapError("the file is empty")
        self.begin = len(mcap.MAGIC)
        first = next(walk(file, self.begin, self.size), None)
        if magic == mcap.MAGIC and isinstance(first, Record) and first.opcode == mcap.HEADER:
            file.seek(first.at)
            content = mcap.read_exactly(file, first.length)
            self.profile = mcap.Fields(content).string()
            self.header = mcap.record(mcap.HEADER, content)
            self.begin = first.end
            return
        if magic == mcap.MAGIC and isinstance(first, Record):
            self.losses.append(Loss("its header is missing", Counter()))
            return
        self.begin = next_record(file, 0, self.size)
        if self.begin < self.size:
            why = f"its first {self.begin} bytes are damaged"
            self.losses.append(Loss(why, Counter()))
        elif magic == mcap.MAGIC:
            raise McapError(f"it is damaged, or was cut off, at byte {len(mcap.MAGIC)}")
        else:
            raise McapError("it is no MCAP file, or its beginning is damaged")

    def _take_from(self, summary: Summary) -> None:
        for number, schema in summary.schemas.items():
            self.schemas.setdefault(number, schema)
        for number, channel in summary.channels.items():
            self.channels.setdefault(number, channel)

    def _walk(self, file: BinaryIO) -> None:
        """Go from record to record, and over what is none."""
        walked = _Walked(self, file)
        for found in walk_file(file, self.begin, self.size):
            if isinstance(found, Damage):
                walked.add_damage(found)
            elif found.opcode in (mcap.DATA_END, mcap.FOOTER):
                rest = walk(file, found.begin, self.size - mcap.FOOTER_SIZE)
                is_damaged = any(isinstance(each, Damage) for each in rest)
                self.end_is_damaged |= self.complete and is_damaged
                break
            else:
                walked.add(found)
        walked.end()

    def note_inner(self, file: BinaryIO, found: Record) -> bool:
        """The topics that a chunk tells of; whether there is nothing else in it, since it was cut
        off before its first message was whole.
        """
        try:
            chunk = open_chunk(file, found)
        except McapError:
            return False
        messages = 0
        for inner in walk(chunk.stream, chunk.begin, chunk.end):
            if isinstance(inner, Damage):
                continue
            if inner.opcode in (mcap.SCHEMA, mcap.CHANNEL):
                self.note(chunk.stream, inner)
            messages += inner.opcode == mcap.MESSAGE
        return chunk.is_cut and not messages

    def note(self, stream: BinaryIO, found: Record) -> None:
        """A schema or a channel."""
        stream.seek(found.at)
        content = mcap.read_exactly(stream, found.length)
        if found.opcode == mcap.SCHEMA:
            schema = mcap.Schema.unpack(content)
            self.schemas[schema.id] = schema
        else:
            channel = mcap.Channel.unpack(content)
            self.channels[channel.id] = channel

    def _add_span(self, start: int, begin: int, end: int) -> None:
        self.starts.append(start)
        self._begins.append(begin)
        self._ends.append(end)

    def type_of(self, channel: mcap.Channel) -> str:
        """The type of a topic's messages; empty if the file does not say."""
        schema = self.schemas.get(channel.schema)
        return schema.name if schema else ""

    def read_span(
        self, file: BinaryIO, number: int, channels: Collection[int], losses: list[Loss]
    ) -> Iterator[tuple[int, int, bytes | None]]:
        """(log time, channel, data) of a span's messages, as they stand there; without data those
        that are on none of some ``channels``. What is found damaged is added to ``losses``.

        What is on other channels is not read if it is not compressed.
        """
        begin, end = self._begins[number], self._ends[number]
        stream, at, stop, is_cut = file, begin, end, False
        file.seek(begin)
        is_chunk = file.read(1)[:1] == bytes([mcap.CHUNK])
        if is_chunk:
            try:
                chunk = open_chunk(file, Record.between(mcap.CHUNK, begin, end))
            except McapError as error:
                losses.append(Loss(str(error), indexed(file, end, self.size)))
                return
            stream, at, stop, is_cut = chunk.stream, chunk.begin, chunk.end, chunk.is_cut
            times = ChunkTimes(chunk)
        read: Counter[int] = Counter()
        damage: Damage | None = None
        for found in walk(stream, at, stop):
            if isinstance(found, Damage):
                damage = damage or found
            elif found.opcode == mcap.MESSAGE:
                channel, stamp = head_of(stream, found)
                is_doubtful = is_chunk and (damage is not None or not self.is_indexed)
                if is_doubtful:
                    if not times.has(stamp):
                        damage = damage or Damage(found.begin, found.end)
                        continue
                    stream.seek(found.at + mcap.MESSAGE_HEAD.size)
                read[channel] += 1
                size = found.length - mcap.MESSAGE_HEAD.size
                is_wanted = channel in channels
                yield stamp, channel, mcap.read_exactly(stream, size) if is_wanted else None
        is_at_the_end = is_cut and end == self.size and not self.complete
        if damage and not (is_at_the_end and damage.end == stop):
            where = f"at byte {damage.begin}" if stream is file else f"in the chunk at byte {begin}"
            lost = indexed(file, end, self.size) - read if is_chunk else Counter[int]()
            losses.append(Loss(f"it is damaged {where}", lost))


class _Walked:
    """What a walk through a file has found so far."""

    def __init__(self, scan: McapScan, file: BinaryIO) -> None:
        self._scan, self._file = scan, file
        self._run: tuple[int, int, int] | None = None  # first log time, begin, end
        # Behind damage, the messages of the chunk whose beginning it took, and their index.
        self._damage: Damage | None = None
        self._read: Counter[int] = Counter()
        self._indexed: Counter[int] = Counter()

    def add(self, found: Record) -> None:
        """A record."""
        if found.opcode == mcap.MESSAGE:
            self._add_message(found)
            return
        if found.opcode in (mcap.SCHEMA, mcap.CHANNEL):
            self._scan.note(self._file, found)
        elif found.opcode == mcap.MESSAGE_INDEX and self._damage:
            self._indexed += entries_of(self._file, found)
        elif found.opcode == mcap.CHUNK:
            self._close()
            if not self._scan.note_inner(self._file, found):
                start = start_of(self._file, found)
                self._scan._add_span(start, found.begin, found.end)

    def add_damage(self, damage: Damage) -> None:
        """What is no record."""
        self._close()
        self._damage = damage

    def end(self) -> None:
        """Nothing more comes."""
        self._close()

    def _add_message(self, found: Record) -> None:
        channel, stamp = head_of(self._file, found)
        self._read[channel] += 1
        run = self._run
        if run and found.begin - run[1] < _RUN_SIZE:
            self._run = min(run[0], stamp), run[1], found.end
            return
        if run:
            self._scan._add_span(*run)
        self._run = stamp, found.begin, found.end

    def _close(self) -> None:
        if self._run:
            self._scan._add_span(*self._run)
        damage, scan = self._damage, self._scan
        if damage and (scan.complete or damage.end < scan.size):
            where = f"bytes {damage.begin} to {damage.end} are damaged"
            scan.losses.append(Loss(where, self._indexed - self._read))
        self._run, self._damage = None, None
        self._read, self._indexed = Counter(), Counter()


def has_end(path: Path) -> bool:
    """Whether a file was finished. OSError."""
    with open_regular(path) as file:
        return _ends(file, file.seek(0, 2))


def _ends(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - mcap.FOOTER_SIZE))
    return mcap.summary_start(file.read()) is not None


def indexed(file: BinaryIO, at: int, end: int) -> Counter[int]:
    """How many messages by channel the message indexes tell of that stand at ``at``."""
    counts: Counter[int] = Counter()
    for found in walk(file, at, end):
        if isinstance(found, Damage) or found.opcode != mcap.MESSAGE_INDEX:
            break
        counts += entries_of(file, found)
    return counts


def entries_of(file: BinaryIO, found: Record) -> Counter[int]:
    """A message index's channel, and how many messages it tells of."""
    file.seek(found.at)
    channel, size = mcap.Fields(mcap.read_exactly(file, 6)).take("<HI")
    return Counter({channel: size // 16})


def start_of(file: BinaryIO, found: Record) -> int:
    """The log time of a chunk's first message [ns]."""
    file.seek(found.at)
    (start,) = mcap.Fields(mcap.read_exactly(file, 8)).take("<Q")
    return int(start)

"""All that an MCAP file holds, in its order, as who writes it again or adds its end needs it.

Unlike :mod:`mcap_scan` this reads everything, and checks the chunks against their checksums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.chunk_times import are_right
from vla_inference_ros.recording.mcap_chunks import ZSTD_MAGIC, Chunk, is_as_written, open_chunk
from vla_inference_ros.recording.mcap_file import Entries
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_record import ChunkHead, Record, head_of, says_its_length
from vla_inference_ros.recording.mcap_records import Damage, walk, walk_file
from vla_inference_ros.recording.mcap_scan import Loss, McapScan, entries_of, indexed

BAG_METADATA = "rosbag2"  # the name of the record that says what metadata.yaml says


@dataclass(slots=True)
class Part:
    """A chunk, with where its messages are; or another record, or damage."""

    found: Record | Damage
    chunk: Chunk | None = None
    index: mcap.ChunkIndex | None = None  # without where its own index is
    entries: Entries = field(default_factory=dict)
    is_whole: bool = True
    is_changed: bool = False  # its checksum is wrong, though all its records are there
    is_by_message: bool = False  # its messages are compressed themselves
    unknown: Counter[int] = field(default_factory=Counter)  # its messages whose topic is lost

    @property
    def messages(self) -> Counter[int]:
        """How many whole ones there are in a chunk, by channel."""
        return Counter({channel: len(found) for channel, found in self.entries.items()})

    @property
    def places(self) -> set[int]:
        """Where they begin in the chunk."""
        return {place for found in self.entries.values() for _, place in found}

    def take_out(self, start: int, last: int) -> None:
        """Drop what has other log times than those from ``start`` to ``last`` [ns]."""
        for channel, found in self.entries.items():
            self.entries[channel] = [each for each in found if start <= each[0] <= last]


def parts_of(file: BinaryIO, scan: McapScan) -> Iterator[Part]:
    """A file's records and what is damaged between them, up to where its data ends. Of a chunk that
    cannot be opened there is no ``chunk``.
    """
    for found in walk_file(file, scan.begin, scan.size):
        if isinstance(found, Damage):
            yield Part(found, is_whole=False)
        elif found.opcode == mcap.CHUNK:
            yield _chunk(file, found, scan)
        elif found.opcode in (mcap.DATA_END, mcap.FOOTER):
            return
        elif found.opcode != mcap.METADATA or _name_of(file, found) != BAG_METADATA:
            yield Part(found)


def _chunk(file: BinaryIO, found: Record, scan: McapScan) -> Part:
    part = Part(found)
    try:
        chunk = part.chunk = open_chunk(file, found)
    except McapError:
        part.is_whole = False
        return part
    part.is_whole = not chunk.is_cut and says_its_length(file, found, chunk.head)
    head, size, length = chunk.head, found.end - found.begin, chunk.end - chunk.begin
    part.index = mcap.ChunkIndex(
        head.start, head.last, found.begin, size, {}, 0,
        head.compression, head.compressed, length,
    )  # fmt: skip
    for inner in walk(chunk.stream, chunk.begin, chunk.end):
        if isinstance(inner, Damage):
            part.is_whole = False
        elif inner.opcode == mcap.MESSAGE:
            channel, stamp = head_of(chunk.stream, inner)
            part.is_by_message |= not part.entries and _is_compressed(chunk.stream)
            if channel in scan.channels:
                part.entries.setdefault(channel, []).append((stamp, inner.begin - chunk.begin))
            else:
                part.unknown[channel] += 1
    part.is_changed = not chunk.is_cut and not is_as_written(chunk)
    if part.is_changed or not part.is_whole or not scan.is_indexed:
        _check_times(part, head)
    return part


def _check_times(part: Part, head: ChunkHead) -> None:
    """What is damaged may look like a message, but has hardly a time of the chunk's. If that is so
    of most, it is the chunk's own times that are.
    """
    stamps = [stamp for found in part.entries.values() for stamp, _ in found]
    outside = sum(not head.start <= stamp <= head.last for stamp in stamps)
    if head.last and outside:
        part.is_whole = False
        if are_right(outside, len(stamps)):
            part.take_out(head.start, head.last)


def _is_compressed(stream: BinaryIO) -> bool:
    """Whether the message is whose data the stream stands at."""
    return stream.read(len(ZSTD_MAGIC)) == ZSTD_MAGIC


def _name_of(file: BinaryIO, found: Record) -> str:
    file.seek(found.at)
    return mcap.Fields(mcap.read_exactly(file, found.length)).string()


@dataclass(slots=True)
class Contents:
    """What was found in a file: whole messages, where its last whole record ends, whether any is
    outside of chunks; and what is lost but for a piece that was cut off at its end.
    """

    size: int
    statistics: mcap.Statistics
    chunks: list[mcap.ChunkIndex] = field(default_factory=list)
    keep: int = 0  # an end is to be written from here on,
    last: Entries = field(default_factory=dict)  # with this index of the last chunk
    losses: list[Loss] = field(default_factory=list)
    doubtful: Counter[int] = field(default_factory=Counter)  # messages in chunks that were changed
    unknown: Counter[int] = field(default_factory=Counter)  # messages whose topic is lost
    is_by_message: bool = False  # messages are compressed themselves
    others: list[Record] = field(default_factory=list)  # metadata and attachments
    cut: Part | None = None

    @classmethod
    def read(cls, file: BinaryIO, scan: McapScan) -> Contents:
        """Of a file that can be scanned."""
        contents = cls(scan.begin, mcap.Statistics(dict.fromkeys(scan.channels, 0)))
        contents.losses += scan.losses
        for part in parts_of(file, scan):
            contents._add(file, scan, part)
        contents._check_last_index()
        return contents

    def _check_last_index(self) -> None:
        """A part of an index is none: the last chunk's is to be written again, if it is not there
        as a whole and nothing else follows.
        """
        self.keep = self.size
        if not self.chunks:
            return
        chunk, channels = self.chunks[-1], set(self.last)
        if set(chunk.offsets) == channels:
            self.last = {}
        elif chunk.offset + chunk.size + chunk.index_size == self.size:
            self.keep = chunk.offset + chunk.size
        else:
            self.last = {}
        if set(chunk.offsets) != channels:
            chunk.offsets, chunk.index_size = {}, 0

    @property
    def is_damaged(self) -> bool:
        """Whether anything is lost or changed but at the end."""
        return bool(self.losses or self.unknown or self.doubtful)

    def _add(self, file: BinaryIO, scan: McapScan, part: Part) -> None:
        found = part.found
        self.is_by_message |= part.is_by_message
        is_at_the_end = not part.is_whole and found.end >= scan.size and not scan.complete
        if is_at_the_end and (isinstance(found, Damage) or part.chunk is None or part.chunk.is_cut):
            self.cut = part
            return
        if isinstance(found, Damage):
            if scan.is_indexed:  # else the scan has found it, too
                where = f"bytes {found.begin} to {found.end} are damaged"
                self.losses.append(Loss(where, Counter()))
            return
        if found.opcode == mcap.CHUNK:
            self._add_chunk(file, scan, part, found)
        elif found.opcode == mcap.MESSAGE:
            channel, stamp = head_of(file, found)
            self.is_by_message |= _is_compressed(file)
            if channel in scan.channels:
                self.statistics.add(channel, stamp)
            else:
                self.unknown[channel] += 1
        elif found.opcode in (mcap.METADATA, mcap.ATTACHMENT):
            self.others.append(found)
        elif found.opcode == mcap.MESSAGE_INDEX and self.chunks:
            (channel,) = entries_of(file, found)
            chunk = self.chunks[-1]
            chunk.offsets[channel] = found.begin
            chunk.index_size += found.end - found.begin
        self.size = found.end

    def _add_chunk(self, file: BinaryIO, scan: McapScan, part: Part, found: Record) -> None:
        lost: Counter[int] = Counter()
        if not part.is_whole or part.is_changed:
            lost = indexed(file, found.end, scan.size) - part.messages - part.unknown
        if not part.is_whole or lost:
            self.losses.append(Loss(f"the chunk at byte {found.begin} is damaged", lost))
        self.unknown += part.unknown
        chunk = part.chunk
        if chunk is None:
            return
        if part.is_changed:
            self.doubtful += part.messages
        for channel, entries in part.entries.items():
            for stamp, _ in entries:
                self.statistics.add(channel, stamp)
        self.last = part.entries
        self.statistics.chunks += 1
        if part.index is not None:
            self.chunks.append(part.index)

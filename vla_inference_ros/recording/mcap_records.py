"""Finds the records of an MCAP file, also behind damage: which bytes are a record, and which none.

Records stand one behind the other, so that damage to one hides where the next begins. It is looked
for then: what looks like a record, and is followed by what does, is one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_format import McapError

COMPRESSIONS = ("", "zstd", "lz4")
_UINT32, _UINT64 = struct.Struct("<I"), struct.Struct("<Q")
# The first opcode that others than the format's authors may give a meaning to.
_PRIVATE = 0x80
# What a record other than a message, a chunk or an attachment is no longer than [bytes].
_LONGEST = 16 << 20
_LONGEST_NAME = 32  # of a compression [bytes]
_BLOCK = 1 << 20  # searched at once [bytes]
# An opcode, and a length of less than 1 TB.
_CANDIDATE = re.compile(rb"(?=[\x03-\x0f].{5}\x00{3})", re.DOTALL)
_MOST = 1 << 40  # bytes of a record
_CHAIN = 3  # so many records behind each other that are easily mistaken are none by chance
_INDEX_HEAD = 6  # of a message index: a channel and a length [bytes]
_INNER = (mcap.SCHEMA, mcap.CHANNEL, mcap.MESSAGE)  # what a chunk holds


class Record(NamedTuple):
    """A record's content: ``length`` bytes from ``at`` on."""

    opcode: int
    at: int
    length: int

    @classmethod
    def between(cls, opcode: int, begin: int, end: int) -> Record:
        """That which starts and ends there, with its opcode and its length."""
        at = begin + mcap.RECORD.size
        return cls(opcode, at, end - at)

    @property
    def begin(self) -> int:
        """Where the record starts, with its opcode."""
        return self.at - mcap.RECORD.size

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.at + self.length


class Damage(NamedTuple):
    """Bytes from ``begin`` to ``end`` that are no record."""

    begin: int
    end: int


class ChunkHead(NamedTuple):
    """What stands before a chunk's records: the log times [ns] of its first and its last message,
    how many bytes its records have, and their CRC-32 (0: not known). They, or what they were
    compressed to, are the ``compressed`` bytes from ``begin`` on.
    """

    start: int
    last: int
    size: int
    crc: int
    compression: str
    begin: int
    compressed: int

    @property
    def end(self) -> int:
        """Where its records end."""
        return self.begin + self.compressed


def records(stream: BinaryIO, at: int, end: int) -> Iterator[Record]:
    """Those from ``at`` to ``end``. McapError where what stands there is not a whole one."""
    for found in walk(stream, at, end):
        if isinstance(found, Damage) or found.end > end:
            raise McapError(f"it is damaged, or was cut off, at byte {found.begin}")
        yield found


def walk(stream: BinaryIO, at: int, end: int) -> Iterator[Record | Damage]:
    """The records from ``at`` to ``end``, and what lies between them that is none.

    A chunk whose length is damaged, or whose end is cut off, is a record up to where it must end.
    """
    previous: Record | None = None
    while at < end:
        found = _record_at(stream, at, end)
        if found is not None:
            if previous is not None:
                yield previous
            previous, at = found, found.end
            continue
        # A wrong length leads astray: what is behind the damage may begin in the record before.
        is_led = previous is not None and previous.opcode != mcap.CHUNK
        after = next_record(stream, previous.at if previous and is_led else at + 1, end)
        if previous is not None and after < at:
            at = previous.begin
        elif previous is not None:
            yield previous
        previous = None
        yield Damage(at, after)
        at = after
    if previous is not None:
        yield previous


def _record_at(stream: BinaryIO, at: int, end: int) -> Record | None:
    """The record there, or None if there is no whole one."""
    stream.seek(at)
    head = stream.read(mcap.RECORD.size)
    if len(head) != mcap.RECORD.size:
        return None
    opcode, length = mcap.RECORD.unpack(head)
    found = Record(opcode, at + mcap.RECORD.size, length)
    if opcode == mcap.MESSAGE:  # by far the most
        return found if length >= mcap.MESSAGE_HEAD.size and found.end <= end else None
    if opcode == mcap.CHUNK:
        return _chunk_at(stream, found, end)
    return found if found.end <= end and _is_sound(stream, found) else None


def chunk_head(stream: BinaryIO, found: Record) -> ChunkHead:
    """What a chunk says of itself. McapError if that cannot be."""
    stream.seek(found.at)
    start, last, size, crc = mcap.CHUNK_HEAD.unpack(mcap.read_exactly(stream, mcap.CHUNK_HEAD.size))
    (length,) = _UINT32.unpack(mcap.read_exactly(stream, 4))
    if length > _LONGEST_NAME:
        raise McapError(f"the chunk at byte {found.begin} is damaged")
    name = mcap.read_exactly(stream, length).decode("ascii", "replace")
    (compressed,) = _UINT64.unpack(mcap.read_exactly(stream, 8))
    return ChunkHead(start, last, size, crc, name, stream.tell(), compressed)


def _chunk_at(stream: BinaryIO, found: Record, end: int) -> Record | None:
    """A chunk's length stands in it twice; where they differ, what follows decides."""
    try:
        head = chunk_head(stream, found)
    except McapError:
        return None
    if head.end == found.end:
        if found.end > end:  # cut off: up to what no chunk holds
            end = next_record(stream, min(head.begin, end), end, _INNER)
            found = Record(mcap.CHUNK, found.at, end - found.at)
        return found
    if head.end < found.end <= end and _may_begin_at(stream, found.end, end):
        return found
    if head.end <= end and _may_begin_at(stream, head.end, end):
        return Record(mcap.CHUNK, found.at, head.end - found.at)
    return None


def _may_begin_at(stream: BinaryIO, at: int, end: int) -> bool:
    """Whether a record may begin there, or nothing more does."""
    stream.seek(at)
    head = stream.read(mcap.RECORD.size)
    if at >= end or len(head) < mcap.RECORD.size:
        return at <= end
    opcode, length = mcap.RECORD.unpack(head)
    return 0 < opcode <= mcap.DATA_END and 0 < length <= end - at


def next_record(stream: BinaryIO, at: int, end: int, but: tuple[int, ...] = ()) -> int:
    """Where from ``at`` on the next record begins that is none of ``but``; ``end`` if none does."""
    while at < end:
        stream.seek(at)
        block = stream.read(min(_BLOCK, end - at))
        for match in _CANDIDATE.finditer(block):
            if block[match.start()] not in but and _is_chain(stream, at + match.start(), end):
                return at + match.start()
        if len(block) <= mcap.RECORD.size:
            break
        at += len(block) - mcap.RECORD.size + 1
    return end


def _is_chain(stream: BinaryIO, at: int, end: int) -> bool:
    """Whether a record begins there: one that says so much of itself that it is none by chance, or
    some in a row, or one up to the end.
    """
    for number in range(_CHAIN):
        found = _record_at(stream, at, end)
        if found is None or (found.opcode == mcap.CHUNK and not _is_strict(stream, at)):
            return number > 0 and _is_cut_off(stream, at, end)
        if _is_telling(found) or found.end == end:
            return True
        at = found.end
    return True


def _is_cut_off(stream: BinaryIO, at: int, end: int) -> bool:
    """Whether a record may begin there whose end is beyond all."""
    stream.seek(at)
    head = stream.read(min(mcap.RECORD.size, end - at))
    if len(head) < mcap.RECORD.size:
        return True
    opcode, length = mcap.RECORD.unpack(head)
    return 0 < opcode <= mcap.DATA_END and end - at < length < _MOST


def _is_strict(stream: BinaryIO, at: int) -> bool:
    """Whether all that a chunk says of itself agrees."""
    stream.seek(at)
    _, length = mcap.RECORD.unpack(mcap.read_exactly(stream, mcap.RECORD.size))
    found = Record(mcap.CHUNK, at + mcap.RECORD.size, length)
    head = chunk_head(stream, found)
    is_known = head.compression in COMPRESSIONS and head.start <= head.last
    return is_known and head.end == found.end


def _is_telling(found: Record) -> bool:
    if found.opcode == mcap.MESSAGE_INDEX:
        return found.length > _INDEX_HEAD
    return found.opcode not in (mcap.MESSAGE, mcap.DATA_END, mcap.FOOTER)


def _is_sound(stream: BinaryIO, found: Record) -> bool:
    """Whether a record's content is what its opcode says."""
    if found.opcode >= _PRIVATE:
        return True
    check = _CHECKS.get(found.opcode)
    if check is None:
        return False
    if found.opcode == mcap.ATTACHMENT:
        return _is_attachment(stream, found)
    if found.length > _LONGEST:
        return False
    stream.seek(found.at)
    try:
        check(mcap.read_exactly(stream, found.length))
    except McapError:
        return False
    return True


def _is_attachment(stream: BinaryIO, found: Record) -> bool:
    """Its data may be long, and is not read."""
    at = found.at + 16  # two times
    for _ in range(2):  # a name and a media type
        stream.seek(at)
        head = stream.read(4)
        if len(head) < 4:
            return False
        at += 4 + _UINT32.unpack(head)[0]
    stream.seek(at)
    size = stream.read(8)
    return len(size) == 8 and at + 8 + _UINT64.unpack(size)[0] + 4 <= found.end


def _check_index(content: bytes) -> None:
    fields = mcap.Fields(content)
    fields.take("<H")
    fields.numbers("<QQ")


def _taking(layout: str, strings: int) -> Callable[[bytes], object]:
    def check(content: bytes) -> None:
        fields = mcap.Fields(content)
        fields.take(layout)
        for _ in range(strings):
            fields.string()

    return check


def _check_metadata(content: bytes) -> None:
    fields = mcap.Fields(content)
    fields.string()
    fields.mapping()


_CHECKS: dict[int, Callable[[bytes], object]] = {
    mcap.HEADER: _taking("<", 2),
    mcap.FOOTER: _taking("<QQI", 0),
    mcap.SCHEMA: mcap.Schema.unpack,
    mcap.CHANNEL: mcap.Channel.unpack,
    mcap.MESSAGE_INDEX: _check_index,
    mcap.CHUNK_INDEX: mcap.ChunkIndex.unpack,
    mcap.ATTACHMENT: _taking("<", 0),
    mcap.ATTACHMENT_INDEX: _taking("<QQQQQ", 2),
    mcap.STATISTICS: mcap.Statistics.unpack,
    mcap.METADATA: _check_metadata,
    mcap.METADATA_INDEX: _taking("<QQ", 1),
    mcap.SUMMARY_OFFSET: _taking("<BQQ", 0),
    mcap.DATA_END: _taking("<I", 0),
}

"""A record of an MCAP file in its place, and whether what stands there is what its opcode says."""

from __future__ import annotations

import struct
from collections.abc import Callable
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


def head_of(stream: BinaryIO, found: Record) -> tuple[int, int]:
    """A message's channel and log time; the stream then stands at its data."""
    stream.seek(found.at)
    head = mcap.read_exactly(stream, mcap.MESSAGE_HEAD.size)
    channel, _, stamp, _ = mcap.MESSAGE_HEAD.unpack(head)
    return channel, stamp


def says_its_length(stream: BinaryIO, found: Record, head: ChunkHead) -> bool:
    """Whether a chunk as it was found is what all its lengths say, which other readers rely on."""
    if not head.compression and head.size != head.compressed:
        return False
    stream.seek(found.begin)
    _, length = mcap.RECORD.unpack(mcap.read_exactly(stream, mcap.RECORD.size))
    return bool(length == found.length and head.end == found.end)


def is_sound(stream: BinaryIO, found: Record) -> bool:
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

"""The records of an MCAP file: how each is laid out, there and back (https://mcap.dev/spec).

A file is a magic, records and the magic again. A record is an opcode, a length and a content; all
numbers are little-endian. Messages lie in chunks, behind each of which stands where in it the
messages are. The summary at the end is for finding one's way without reading all; a file that was
not finished has none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from zlib import crc32

MAGIC = b"\x89MCAP0\r\n"
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
ATTACHMENT, ATTACHMENT_INDEX = 0x09, 0x0A
STATISTICS, METADATA, METADATA_INDEX, SUMMARY_OFFSET, DATA_END = range(0x0B, 0x10)

RECORD = struct.Struct("<BQ")  # opcode, length of the content
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence number, log time, publish time [ns]
CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, size, CRC-32
FOOTER_SIZE = RECORD.size + 20 + len(MAGIC)
_INDEX_ENTRY = struct.Struct("<QQ")  # log time, where in the chunk
_CRC_SIZE = 4
_FOOTER = struct.Struct("<QQI")  # where the summary and its offsets start, CRC-32
_STATISTICS = struct.Struct("<QHIIIIQQ")


class McapError(ValueError):
    """Bytes that are no record."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A message type: ``text`` is its definition, ``encoding`` how that is written. Where that is
    no text, what cannot be decoded is kept as surrogates.
    """

    id: int
    name: str
    encoding: str
    text: str

    def pack(self) -> bytes:
        """The record."""
        content = struct.pack("<H", self.id)
        return record(SCHEMA, content, *map(string, (self.name, self.encoding, self.text)))

    @classmethod
    def unpack(cls, content: bytes) -> Schema:
        """From a record's content."""
        fields = Fields(content)
        (number,) = fields.take("<H")
        name, encoding = fields.string(), fields.string()
        return cls(number, name, encoding, fields.data().decode(errors="surrogateescape"))


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic; ROS 2 keeps in its ``metadata`` the QoS that it was offered with, and the type's
    hash.
    """

    id: int
    schema: int
    topic: str
    encoding: str
    metadata: dict[str, str]

    def pack(self) -> bytes:
        """The record."""
        content = struct.pack("<HH", self.id, self.schema)
        names = map(string, (self.topic, self.encoding))
        return record(CHANNEL, content, *names, mapping(self.metadata))

    @classmethod
    def unpack(cls, content: bytes) -> Channel:
        """From a record's content."""
        fields = Fields(content)
        number, schema = fields.take("<HH")
        return cls(number, schema, fields.string(), fields.string(), fields.mapping())


@dataclass(slots=True)
class ChunkIndex:
    """Where a chunk is: at ``offset``, ``size`` bytes with its head; and at which ``offsets`` the
    message index of each of its channels is, ``index_size`` bytes together.
    """

    start: int
    end: int
    offset: int
    size: int
    offsets: dict[int, int]
    index_size: int
    compression: str
    compressed: int
    uncompressed: int

    def pack(self) -> bytes:
        """The record."""
        offsets = b"".join(struct.pack("<HQ", *item) for item in self.offsets.items())
        return record(
            CHUNK_INDEX,
            struct.pack("<QQQQI", self.start, self.end, self.offset, self.size, len(offsets)),
            offsets,
            struct.pack("<Q", self.index_size),
            string(self.compression),
            struct.pack("<QQ", self.compressed, self.uncompressed),
        )

    @classmethod
    def unpack(cls, content: bytes) -> ChunkIndex:
        """From a record's content."""
        fields = Fields(content)
        start, end, offset, size = fields.take("<QQQQ")
        offsets = fields.numbers("<HQ")
        (index_size,) = fields.take("<Q")
        compression = fields.string()
        compressed, uncompressed = fields.take("<QQ")
        return cls(
            start, end, offset, size, offsets, index_size, compression, compressed, uncompressed
        )


@dataclass(slots=True)
class Statistics:
    """What a file holds: messages by channel, and the log times [ns] of the first and the last.

    What is read from a file says besides how many messages and ``channels`` there are in all.
    """

    counts: dict[int, int] = field(default_factory=dict)
    chunks: int = 0
    start: int = 2**63 - 1
    end: int = 0
    told: int = 0
    channels: int = 0

    def add(self, channel: int, stamp: int) -> None:
        """Count a message."""
        self.counts[channel] = self.counts.get(channel, 0) + 1
        self.start, self.end = min(self.start, stamp), max(self.end, stamp)

    @property
    def messages(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    def pack(self, schemas: int, attachments: int, metadata: int) -> bytes:
        """The record, of a file with so many schemas, attachments and metadata records."""
        messages = self.messages
        times = (self.start, self.end) if messages else (0, 0)
        channels = len(self.counts)
        head = _STATISTICS.pack(
            messages, schemas, channels, attachments, metadata, self.chunks, *times
        )
        counts = b"".join(struct.pack("<HQ", *item) for item in sorted(self.counts.items()))
        return record(STATISTICS, head, struct.pack("<I", len(counts)), counts)

    @classmethod
    def unpack(cls, content: bytes) -> Statistics:
        """From a record's content."""
        fields = Fields(content)
        told, _, channels, _, _, chunks, start, end = fields.take(_STATISTICS.format)
        return cls(fields.numbers("<HQ"), chunks, start, end, told, channels)


class Fields:
    """Takes a record's content apart, from its start. Raises McapError where it is too short."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next fields of a struct's layout."""
        try:
            values = struct.unpack_from(layout, self._content, self._at)
        except struct.error as error:
            raise McapError(f"a record is too short: {error}") from error
        self._at += struct.calcsize(layout)
        return values

    def data(self) -> bytes:
        """A field with its length [bytes] in front, 32 bits."""
        (length,) = self.take("<I")
        data = self._content[self._at : self._at + length]
        if len(data) != length:
            raise McapError(f"a field of {length} bytes has only {len(data)}")
        self._at += length
        return data

    def string(self) -> str:
        """Text."""
        try:
            return self.data().decode()
        except UnicodeDecodeError as error:
            raise McapError(f"a text is not UTF-8: {error}") from error

    def mapping(self) -> dict[str, str]:
        """Texts by name."""
        inner = Fields(self.data())
        found = {}
        while not inner.at_end:
            key = inner.string()
            found[key] = inner.string()
        return found

    def numbers(self, layout: str) -> dict[int, int]:
        """Numbers by number."""
        data = self.data()
        if len(data) % struct.calcsize(layout):
            raise McapError(f"{len(data)} bytes are no whole number of {layout!r}")
        return dict(struct.iter_unpack(layout, data))

    @property
    def at_end(self) -> bool:
        """Whether all has been taken."""
        return self._at >= len(self._content)


def record(opcode: int, *content: bytes) -> bytes:
    """A record of content that comes in pieces."""
    return RECORD.pack(opcode, sum(map(len, content))) + b"".join(content)


def string(text: str) -> bytes:
    """Text, with its length in front."""
    data = text.encode(errors="surrogateescape")
    return struct.pack("<I", len(data)) + data


def mapping(texts: Mapping[str, str]) -> bytes:
    """Texts by name, with their length in front."""
    data = b"".join(string(key) + string(value) for key, value in texts.items())
    return struct.pack("<I", len(data)) + data


def message_index(channel: int, entries: Iterable[tuple[int, int]]) -> bytes:
    """The record of (log time, where in the chunk) of a channel's messages in a chunk."""
    data = b"".join(_INDEX_ENTRY.pack(*entry) for entry in entries)
    return record(MESSAGE_INDEX, struct.pack("<HI", channel, len(data)), data)


def footer(summary: int, offsets: int, pieces: Iterable[bytes] = ()) -> bytes:
    """The file's end: where its summary starts and where the summary's offsets do, and, if the
    summary's ``pieces`` are given, the checksum of all that.
    """
    end = record(FOOTER, _FOOTER.pack(summary, offsets, 0))[:-_CRC_SIZE]
    crc = 0
    for piece in pieces:
        crc = crc32(piece, crc)
    crc = crc32(end, crc) if crc else 0
    return end + crc.to_bytes(_CRC_SIZE, "little") + MAGIC


def summary_start(end: bytes) -> int | None:
    """From a file's last FOOTER_SIZE bytes: where its summary starts, 0 if it has none; None if
    this is no file's end.
    """
    if len(end) != FOOTER_SIZE or RECORD.unpack_from(end) != (FOOTER, 20) or end[-8:] != MAGIC:
        return None
    start, _, _ = _FOOTER.unpack_from(end, RECORD.size)
    return int(start)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """So many bytes; McapError if the file ends before."""
    data = file.read(size)
    if len(data) != size:
        raise McapError(f"the file ends {size - len(data)} bytes too early")
    return data

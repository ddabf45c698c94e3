"""The variants of MCAP's conformance tests, as their published descriptions define them.

https://github.com/foxglove/mcap, tests/conformance/variants: six inputs, each written with every
combination of ten features that makes sense for it; 416 files in all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TypeAlias
from zlib import crc32

from vla_inference_ros.recording import mcap_format as mcap

CHUNKS, MESSAGE_INDEX, STATISTICS, SCHEMAS, CHANNELS = "ch", "mx", "st", "rsh", "rch"
ATTACHMENT_INDEX, METADATA_INDEX, CHUNK_INDEX, SUMMARY_OFFSET, PADDING = (
    "ax",
    "mdx",
    "chx",
    "sum",
    "pad",
)
FEATURES = (
    *(CHUNKS, MESSAGE_INDEX, STATISTICS, SCHEMAS, CHANNELS, ATTACHMENT_INDEX, METADATA_INDEX),
    *(CHUNK_INDEX, SUMMARY_OFFSET, PADDING),
)  # fmt: skip
_PAD = b"\x01\xff\xff"  # behind a record's content, where more may follow


@dataclass(frozen=True, slots=True)
class Message:
    """On a channel, with its number and the times [ns] of its logging and its publication."""

    channel: int
    sequence: int
    log_time: int
    publish_time: int
    data: bytes = b"\x01\x02\x03"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in the file."""

    name: str = "myFile"
    media_type: str = "application/octet-stream"
    log_time: int = 2
    create_time: int = 1
    data: bytes = b"\x01\x02\x03"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Texts by name."""

    name: str = "myMetadata"
    texts: dict[str, str] = field(default_factory=lambda: {"foo": "bar"})


Item: TypeAlias = "mcap.Schema | mcap.Channel | Message | Attachment | Metadata"
_SCHEMA = mcap.Schema(1, "Example", "c", "\x04\x05\x06")
_CHANNEL = mcap.Channel(1, 1, "example", "a", {"foo": "bar"})
INPUTS: dict[str, tuple[Item, ...]] = {
    "NoData": (),
    "OneSchemalessMessage": (
        mcap.Channel(1, 0, "example", "text", {}),
        Message(1, 10, 2, 1),
    ),
    "OneMessage": (_SCHEMA, _CHANNEL, Message(1, 10, 2, 1)),
    "OneAttachment": (Attachment(),),
    "OneMetadata": (Metadata(),),
    "TenMessages": (
        _SCHEMA,
        _CHANNEL,
        *(Message(1, n, time, time) for n, time in enumerate((0, 2, 1, 3, 3, 5, 4, 7, 8, 9))),
    ),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A file: ``items`` as they are written with some ``features``."""

    name: str
    items: tuple[Item, ...]
    features: frozenset[str]

    def messages(self) -> list[Message]:
        """As they are written."""
        return [item for item in self.items if isinstance(item, Message)]


def variants(ros: bool = False) -> Iterator[Variant]:
    """All 416; with ``ros``, as far as encodings go, as ROS 2 would write them."""
    for (name, items), chosen in product(INPUTS.items(), product((False, True), repeat=10)):
        features = frozenset(each for each, has in zip(FEATURES, chosen, strict=True) if has)
        if _makes_sense(items, features):
            given = tuple(map(_as_of_ros, items)) if ros else items
            yield Variant("-".join([name, *sorted(features)]), given, features)


def _as_of_ros(item: Item) -> Item:
    if isinstance(item, mcap.Schema):
        return replace(item, name="std_msgs/msg/String", encoding="ros2msg")
    return replace(item, encoding="cdr") if isinstance(item, mcap.Channel) else item


def _makes_sense(items: tuple[Item, ...], features: frozenset[str]) -> bool:
    kinds: set[type] = {type(item) for item in items}
    in_chunks: set[type] = {Message, mcap.Channel, mcap.Schema}
    needs: dict[str, set[type]] = {
        ATTACHMENT_INDEX: {Attachment},
        METADATA_INDEX: {Metadata},
        SCHEMAS: {mcap.Schema},
        CHANNELS: {mcap.Channel},
        **dict.fromkeys((CHUNKS, CHUNK_INDEX, MESSAGE_INDEX), in_chunks),
    }
    if any(feature in features and not kinds & needed for feature, needed in needs.items()):
        return False
    grouped = {CHUNK_INDEX, SCHEMAS, CHANNELS, METADATA_INDEX, ATTACHMENT_INDEX, STATISTICS}
    if SUMMARY_OFFSET in features and not features & grouped:
        return False
    return CHUNKS in features or not features & {CHUNK_INDEX, MESSAGE_INDEX}


def packed(variant: Variant, profile: str = "") -> bytes:
    """The file."""
    return _File(variant.features, profile).write(variant.items)


class _File:
    def __init__(self, features: frozenset[str], profile: str) -> None:
        self._features = features
        header = self._record(mcap.HEADER, mcap.string(profile), mcap.string(""))
        self._data = bytearray(mcap.MAGIC + header)
        self._chunk = bytearray()
        self._attachments = self._metadata = self._chunks = b""  # their indexes

    def _record(self, opcode: int, *content: bytes) -> bytes:
        return mcap.record(opcode, *content, _PAD if PADDING in self._features else b"")

    def _packed(self, item: mcap.Schema | mcap.Channel) -> bytes:
        opcode, content = item.pack()[0], item.pack()[mcap.RECORD.size :]
        return self._record(opcode, content)

    def write(self, items: tuple[Item, ...]) -> bytes:
        has_chunk = CHUNKS in self._features
        target = self._chunk if has_chunk else self._data
        entries: dict[int, list[tuple[int, int]]] = {}
        for item in items:
            if isinstance(item, (mcap.Schema, mcap.Channel)):
                target += item.pack() if has_chunk else self._packed(item)
            elif isinstance(item, Message):
                entries.setdefault(item.channel, []).append((item.log_time, len(target)))
                times = item.log_time, item.publish_time
                head = mcap.MESSAGE_HEAD.pack(item.channel, item.sequence, *times)
                target += mcap.record(mcap.MESSAGE, head, item.data)
            elif isinstance(item, Attachment):
                self._write_attachment(item)
            else:
                self._write_metadata(item)
        if has_chunk:
            self._write_chunk(entries)
        self._data += mcap.record(mcap.DATA_END, struct.pack("<I", crc32(self._data)))
        return bytes(self._data + self._summary(items))

    def _write_attachment(self, item: Attachment) -> None:
        times = struct.pack("<QQ", item.log_time, item.create_time)
        names = mcap.string(item.name) + mcap.string(item.media_type)
        size = struct.pack("<Q", len(item.data))
        content = times + names + size + item.data
        record = self._record(mcap.ATTACHMENT, content, struct.pack("<I", crc32(content)))
        if ATTACHMENT_INDEX in self._features:
            place = struct.pack("<QQ", len(self._data), len(record))
            self._attachments += self._record(mcap.ATTACHMENT_INDEX, place, times, size, names)
        self._data += record

    def _write_metadata(self, item: Metadata) -> None:
        name = mcap.string(item.name)
        record = self._record(mcap.METADATA, name, mcap.mapping(item.texts))
        if METADATA_INDEX in self._features:
            place = struct.pack("<QQ", len(self._data), len(record))
            self._metadata += self._record(mcap.METADATA_INDEX, place, name)
        self._data += record

    def _write_chunk(self, entries: dict[int, list[tuple[int, int]]]) -> None:
        times = [time for each in entries.values() for time, _ in each] or [0]
        span, size = (min(times), max(times)), len(self._chunk)
        at = len(self._data)
        head = mcap.CHUNK_HEAD.pack(*span, size, crc32(self._chunk)) + mcap.string("")
        self._data += mcap.record(mcap.CHUNK, head, struct.pack("<Q", size), bytes(self._chunk))
        length, offsets = len(self._data) - at, {}
        if MESSAGE_INDEX in self._features:
            for channel, each in entries.items():
                offsets[channel] = len(self._data)
                index = mcap.message_index(channel, each)
                self._data += self._record(mcap.MESSAGE_INDEX, index[mcap.RECORD.size :])
        if CHUNK_INDEX in self._features:
            index_size = len(self._data) - at - length
            index = mcap.ChunkIndex(*span, at, length, offsets, index_size, "", size, size).pack()
            self._chunks = self._record(mcap.CHUNK_INDEX, index[mcap.RECORD.size :])

    def _statistics(self, items: tuple[Item, ...]) -> bytes:
        def count(kind: type) -> int:
            return sum(isinstance(item, kind) for item in items)

        messages = [item for item in items if isinstance(item, Message)]
        times = [item.log_time for item in messages] or [0]
        by_channel = {item.channel: 0 for item in messages}
        for item in messages:
            by_channel[item.channel] += 1
        counts = b"".join(struct.pack("<HQ", *each) for each in by_channel.items())
        return self._record(
            mcap.STATISTICS,
            struct.pack("<QHI", len(messages), count(mcap.Schema), count(mcap.Channel)),
            struct.pack("<III", count(Attachment), count(Metadata), CHUNKS in self._features),
            struct.pack("<QQ", min(times), max(times)),
            struct.pack("<I", len(counts)) + counts,
        )

    def _summary(self, items: tuple[Item, ...]) -> bytes:
        def again(kind: type[mcap.Schema] | type[mcap.Channel]) -> bytes:
            return b"".join(self._packed(item) for item in items if isinstance(item, kind))

        has = self._features.__contains__
        groups = {
            mcap.SCHEMA: again(mcap.Schema) if has(SCHEMAS) else b"",
            mcap.CHANNEL: again(mcap.Channel) if has(CHANNELS) else b"",
            mcap.STATISTICS: self._statistics(items) if has(STATISTICS) else b"",
            mcap.METADATA_INDEX: self._metadata,
            mcap.ATTACHMENT_INDEX: self._attachments,
            mcap.CHUNK_INDEX: self._chunks,
        }
        start = place = len(self._data)
        found, offsets = b"".join(groups.values()), b""
        for opcode, group in groups.items():
            if group and SUMMARY_OFFSET in self._features:
                numbers = struct.pack("<BQQ", opcode, place, len(group))
                offsets += self._record(mcap.SUMMARY_OFFSET, numbers)
            place += len(group)
        at = struct.pack("<QQ", start if found else 0, place if offsets else 0)
        if SUMMARY_OFFSET in self._features and not offsets:
            at = struct.pack("<QQ", start if found else 0, place)
        footer = mcap.RECORD.pack(mcap.FOOTER, 20) + at
        crc = struct.pack("<I", crc32(found + offsets + footer))
        return found + offsets + footer + crc + mcap.MAGIC

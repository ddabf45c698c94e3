"""Writes an MCAP file, so that it can be read as far as it has come at any moment.

Messages gather in memory to a chunk, which then goes to the system at once, whole or not at all,
and only if the file may then still have its end. What is kept of the chunks that are written, to
list them at the file's end, is about 200 bytes of each: 5 MB of an hour at full rate.
"""

from __future__ import annotations

import errno
import math
import os
import zlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TypeAlias, TypeVar

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.appending import check_size, open_new, stands, write_all

# A larger file needs fewer entries in its index; a smaller one less memory to read [bytes].
CHUNK_SIZE = 4 << 20
_LIBRARY = "vla_inference_ros"
# Of a file's end, more than it takes: what the bag's metadata say of a topic beside its name and
# type, and all that does not grow [bytes].
_TOPIC_END, _LEAST_END = 2048, 4096
# Likewise of a message's entry in its chunk's index, of that index for each channel, and of a chunk
# [bytes].
_ENTRY_ROOM, _CHANNEL_ROOM, _CHUNK_ROOM = 16, 32, 256

# Where a chunk's messages are: (log time [ns], place in the chunk) by channel.
Entries: TypeAlias = dict[int, list[tuple[int, int]]]
_File = TypeVar("_File", bound="McapFile")


class McapFile:
    """A file of ROS 2 messages. For one thread.

    OSError always means that nothing was taken and that the file is as it was before; with EFBIG,
    that it is as large as it may be.
    """

    def __init__(self, path: Path, most: float = math.inf, header: bytes = b"") -> None:
        """A new file of ``most`` bytes, or of one message if that alone is more, with a ``header``
        of its own or, as a record, another's; OSError if it is there already.
        """
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        # Nobody is to find one that has no header yet, and holds up a whole bag.
        part = path.with_name(f"{path.name}.part")
        self._start_at(path, open_new(part), 0)
        self._most = most
        try:
            own = mcap.record(mcap.HEADER, mcap.string("ros2"), mcap.string(_LIBRARY))
            self._append([mcap.MAGIC, header or own])
            part.rename(path)
        except OSError:
            os.close(self._file)
            part.unlink(missing_ok=True)
            raise

    @classmethod
    def resume(
        cls: type[_File],
        path: Path,
        size: int,
        schemas: list[mcap.Schema],
        channels: list[mcap.Channel],
        chunks: list[mcap.ChunkIndex],
        statistics: mcap.Statistics,
    ) -> _File:
        """Go on behind the first ``size`` bytes of a file, which hold what is given; what stands
        behind them is dropped.
        """
        file = cls.__new__(cls)
        file._start_at(path, os.open(path, os.O_WRONLY | os.O_CLOEXEC), size)
        os.ftruncate(file._file, size)
        os.lseek(file._file, size, os.SEEK_SET)
        file._schemas, file._channels, file.statistics = schemas, channels, statistics
        for chunk in chunks[:-1]:
            file._chunks += chunk.pack()
        file._last_chunk = chunks[-1] if chunks else None
        return file

    def _start_at(self, path: Path, descriptor: int, size: int) -> None:
        self._path, self._file, self._size = path, descriptor, size
        self._schemas: list[mcap.Schema] = []
        self._channels: list[mcap.Channel] = []
        self.statistics = mcap.Statistics()  # of what is with the system
        self._chunks = bytearray()  # their index records
        self._last_chunk: mcap.ChunkIndex | None = None  # of a file that was there already
        self._others = {mcap.ATTACHMENT: 0, mcap.METADATA: 0}  # how many
        self._other_indexes = {mcap.ATTACHMENT_INDEX: b"", mcap.METADATA_INDEX: b""}
        self._most = math.inf
        self._end = _LEAST_END  # what the end takes, but for the index of chunks [bytes]
        self.has_ended = False
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        self._chunk = bytearray()
        self._entries: Entries = {}
        self._count = 0  # of messages in it
        self._first, self._last = 2**63 - 1, 0

    @property
    def is_empty(self) -> bool:
        """Whether it has not taken any message."""
        return not self._entries and not self.statistics.chunks

    @property
    def pending(self) -> dict[int, int]:
        """How many messages of each channel are not with the system yet."""
        return {channel: len(entries) for channel, entries in self._entries.items()}

    def add_schema(self, name: str, encoding: str, text: str) -> int:
        """A message type; its id."""
        schema = mcap.Schema(len(self._schemas) + 1, name, encoding, text)
        self._schemas.append(schema)
        record = schema.pack()
        self._chunk += record
        self._end += len(record)
        return schema.id

    def add_channel(self, schema: int, topic: str, metadata: dict[str, str]) -> int:
        """A topic; its id."""
        channel = mcap.Channel(len(self._channels) + 1, schema, topic, "cdr", metadata)
        self._channels.append(channel)
        self.statistics.counts[channel.id] = 0
        record = channel.pack()
        self._chunk += record
        self._end += 2 * len(record) + _TOPIC_END
        return channel.id

    def write(self, channel: int, stamp_ns: int, data: bytes) -> None:
        """A message; it is with the system after the next ``flush``, or when its chunk is full."""
        head = mcap.RECORD.pack(mcap.MESSAGE, mcap.MESSAGE_HEAD.size + len(data))
        self.add_message(
            channel, stamp_ns, head + mcap.MESSAGE_HEAD.pack(channel, 0, stamp_ns, stamp_ns), data
        )

    def add_topic(self, record: bytes) -> None:
        """A schema or a channel that is known already, once more."""
        self._chunk += record

    def add_message(self, channel: int, stamp_ns: int, *record: bytes) -> None:
        """A message as a record, in pieces."""
        if self.has_ended:
            raise _too_large()
        length = sum(map(len, record))
        if self._entries and len(self._chunk) + length > CHUNK_SIZE:
            self.flush()
        self._check_room(length, math.inf if self.is_empty else self._most)
        self._take(channel, stamp_ns, *record)

    def _take(self, channel: int, stamp_ns: int, *record: bytes | bytearray) -> None:
        self._entries.setdefault(channel, []).append((stamp_ns, len(self._chunk)))
        self._first, self._last = min(self._first, stamp_ns), max(self._last, stamp_ns)
        for piece in record:
            self._chunk += piece
        self._count += 1

    def _check_room(self, length: int, most: float) -> None:
        """For a message's record more, and the end."""
        records = _ENTRY_ROOM * (self._count + 1) + _CHANNEL_ROOM * len(self._channels)
        size = self._size + len(self._chunk) + length + records + self._end_size()
        check_size(size, most)

    def _end_size(self) -> int:
        """What the end takes, at most, with one chunk more."""
        return len(self._chunks) + _CHUNK_ROOM + _CHANNEL_ROOM * len(self._channels) + self._end

    def take_over(self, former: McapFile) -> None:
        """Be the file after ``former``: with its schemas and channels, by the same ids, and with
        what it has taken and could not write.
        """
        for schema in former._schemas:
            self.add_schema(schema.name, schema.encoding, schema.text)
        for channel in former._channels:
            self.add_channel(channel.schema, channel.topic, channel.metadata)
        entries = [
            (place, number, stamp)
            for number, found in former._entries.items()
            for stamp, place in found
        ]
        for place, number, stamp in sorted(entries):
            _, length = mcap.RECORD.unpack_from(former._chunk, place)
            self._take(number, stamp, former._chunk[place : place + mcap.RECORD.size + length])

    def flush(self) -> None:
        """Hand the chunk that was begun to the system."""
        if not self._entries:
            return
        if self.has_ended:
            raise _too_large()
        length = len(self._chunk)
        head = mcap.CHUNK_HEAD.pack(self._first, self._last, length, zlib.crc32(self._chunk))
        head += mcap.string("") + length.to_bytes(8, "little")
        head = mcap.RECORD.pack(mcap.CHUNK, len(head) + length) + head
        index = mcap.ChunkIndex(
            self._first, self._last, 0, len(head) + length, {}, 0, "", length, length
        )
        self._append_chunk([head, self._chunk], index, self._entries)
        self._begin_chunk()

    def _append_chunk(
        self, chunk: Iterable[bytes | bytearray], index: mcap.ChunkIndex, entries: Entries
    ) -> None:
        """A chunk in pieces, with the messages' index; in ``index`` is filled in where it is."""
        at = self._size
        self._append(chain(chunk, self._placed(index, at, entries)))
        try:
            self._ask_for_end()
        except OSError:
            self._cut_to(at)
            raise
        for channel, each in entries.items():
            for stamp, _ in each:
                self.statistics.add(channel, stamp)
        self._chunks += index.pack()
        self.statistics.chunks += 1

    def _placed(self, index: mcap.ChunkIndex, at: int, entries: Entries) -> list[bytes]:
        """The message indexes of a chunk that begins ``at``; ``index`` tells where they are."""
        index.offset, index.offsets, index.index_size = at, {}, 0
        found = []
        for channel, each in entries.items():
            index.offsets[channel] = at + index.size + index.index_size
            found.append(mcap.message_index(channel, each))
            index.index_size += len(found[-1])
        return found

    def index_last_chunk(self, entries: Entries) -> None:
        """Write the index of the chunk that this goes on behind."""
        if self._last_chunk is not None:
            if entries:
                self._append(self._placed(self._last_chunk, self._last_chunk.offset, entries))
            self._chunks += self._last_chunk.pack()

    def _ask_for_end(self) -> None:
        """OSError with EFBIG if limit or file system do not let the file have its end as well."""
        size = self._size + self._end_size()
        check_size(size)
        try:
            os.ftruncate(self._file, size)
        except OSError as error:
            if error.errno == errno.EFBIG:  # what else there is, writing will tell
                raise
        finally:
            os.ftruncate(self._file, self._size)

    def finish(self, metadata: str) -> None:
        """Flush, and write the end."""
        self.flush()
        self.end(metadata)

    def end(self, metadata: str) -> None:
        """Write the end, after which nothing is taken: ``metadata`` is the bag's, as YAML. What has
        not been flushed is not in the file, which is not closed by it.
        """
        at = self._size
        text = mcap.mapping({"serialized_metadata": metadata})
        bag = mcap.record(mcap.METADATA, mcap.string("rosbag2"), text)
        end = mcap.record(mcap.DATA_END, bytes(4))
        self._other_indexes[mcap.METADATA_INDEX] += mcap.record(
            mcap.METADATA_INDEX,
            at.to_bytes(8, "little") + len(bag).to_bytes(8, "little"),
            mcap.string("rosbag2"),
        )
        counts = self._others[mcap.ATTACHMENT], self._others[mcap.METADATA] + 1
        groups = {
            mcap.SCHEMA: b"".join(schema.pack() for schema in self._schemas),
            mcap.CHANNEL: b"".join(channel.pack() for channel in self._channels),
            mcap.STATISTICS: self.statistics.pack(len(self._schemas), *counts),
            mcap.CHUNK_INDEX: bytes(self._chunks),
            **self._other_indexes,
        }
        start = place = at + len(bag) + len(end)
        offsets = b""
        for opcode, group in groups.items():
            if group:
                numbers = b"".join(number.to_bytes(8, "little") for number in (place, len(group)))
                offsets += mcap.record(mcap.SUMMARY_OFFSET, bytes([opcode]), numbers)
                place += len(group)
        summary = [*groups.values(), offsets]
        self._append([bag, end, *summary, mcap.footer(start, place, summary)])
        self.has_ended = True

    def is_there(self) -> bool:
        """Whether the file still stands where it was made."""
        return stands(self._path, self._file)

    def close(self) -> None:
        """Close the file; without ``finish`` it has no end."""
        os.close(self._file)

    def _append(self, pieces: Iterable[bytes | bytearray]) -> None:
        size = self._size
        try:
            for piece in pieces:
                write_all(self._file, piece)
                size += len(piece)
        except OSError:
            self._cut_to(self._size)
            raise
        self._size = size

    def _cut_to(self, size: int) -> None:
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        self._size = size


def _too_large() -> OSError:
    return OSError(errno.EFBIG, os.strerror(errno.EFBIG))

"""Writes an MCAP file out of pieces of others, which stay as they are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_file import Entries, McapFile
from vla_inference_ros.recording.mcap_record import Record
from vla_inference_ros.recording.mcap_records import walk

_BLOCK = 1 << 20  # copied at once [bytes]


class McapCopy(McapFile):
    """A file that also takes whole records as they stand in another, ids included."""

    def add_topics(self, schemas: Iterable[mcap.Schema], channels: Iterable[mcap.Channel]) -> None:
        """Schemas and channels with ids of their own."""
        self._schemas += schemas
        self._channels += channels
        self._append([each.pack() for each in self._schemas])
        self._append([each.pack() for each in self._channels])
        for channel in self._channels:
            self.statistics.counts[channel.id] = 0

    def copy_chunk(self, stream: BinaryIO, index: mcap.ChunkIndex, entries: Entries) -> None:
        """A whole chunk, which begins at ``index.offset`` of a stream."""
        self.flush()
        self._append_chunk(_pieces(stream, index.offset, index.size), index, entries)

    def copy_messages(
        self, stream: BinaryIO, begin: int, end: int, only: Collection[int] | None = None
    ) -> None:
        """The whole messages between two places, or those of them that are at certain places, but
        for those on channels that are not known, and the topics that stand between them.
        """
        known = {channel.id for channel in self._channels}
        for found in walk(stream, begin, end):
            if not isinstance(found, Record):
                continue
            stream.seek(found.begin)
            if found.opcode == mcap.MESSAGE:
                if only is not None and found.begin not in only:
                    continue
                data = mcap.read_exactly(stream, found.end - found.begin)
                channel, _, stamp, _ = mcap.MESSAGE_HEAD.unpack_from(data, mcap.RECORD.size)
                if channel in known:
                    self.add_message(channel, stamp, data)
            elif found.opcode in (mcap.SCHEMA, mcap.CHANNEL):
                self.add_topic(mcap.read_exactly(stream, found.end - found.begin))

    def copy_other(self, stream: BinaryIO, found: Record) -> None:
        """Metadata or an attachment."""
        self.flush()
        at = self._size
        self._append(_pieces(stream, found.begin, found.end - found.begin))
        self.list_other(stream, found, at)

    def list_other(self, stream: BinaryIO, found: Record, at: int) -> None:
        """Metadata or an attachment of a stream, which is ``at`` this place of the file."""
        place = at.to_bytes(8, "little") + (found.end - found.begin).to_bytes(8, "little")
        stream.seek(found.at)
        if found.opcode == mcap.METADATA:
            kind, what = mcap.METADATA_INDEX, mcap.string(_text(stream))
        else:
            kind, times = mcap.ATTACHMENT_INDEX, mcap.read_exactly(stream, 16)
            names = mcap.string(_text(stream)) + mcap.string(_text(stream))
            what = times + mcap.read_exactly(stream, 8) + names
        self._others[found.opcode] += 1
        self._other_indexes[kind] += mcap.record(kind, place, what)


def _text(stream: BinaryIO) -> str:
    length = int.from_bytes(mcap.read_exactly(stream, 4), "little")
    return mcap.read_exactly(stream, length).decode()


def _pieces(stream: BinaryIO, at: int, size: int) -> Iterator[bytes]:
    stream.seek(at)
    while size and (block := stream.read(min(size, _BLOCK))):
        size -= len(block)
        yield block

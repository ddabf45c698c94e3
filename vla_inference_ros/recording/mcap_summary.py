"""The summary at the end of an MCAP file, and whether it tells of all that is in the file.

Programs write summaries that list the chunks of a file in part, or not at all, and a file's loose
messages are in none. To believe such a one would be to read a part and call it all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO
from zlib import crc32

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_records import records

_BLOCK = 1 << 20  # read at once [bytes]
_CRC_SIZE = 4
_MOST_LOOKED_AT = 512  # chunks, each of which may take a disk's head 10 ms
_HIDDEN = (mcap.CHUNK, mcap.MESSAGE)  # what may not stand where the summary says nothing is


@dataclass(slots=True)
class Summary:
    """What a summary says, and that it is at ``start``."""

    start: int
    schemas: dict[int, mcap.Schema] = field(default_factory=dict)
    channels: dict[int, mcap.Channel] = field(default_factory=dict)
    chunks: list[mcap.ChunkIndex] = field(default_factory=list)
    statistics: mcap.Statistics | None = None


def read_summary(file: BinaryIO, size: int) -> Summary | None:
    """The summary of a file of ``size`` bytes; None if it has none, or one that is damaged."""
    file.seek(max(0, size - mcap.FOOTER_SIZE))
    end = file.read()
    start = mcap.summary_start(end)
    if not start or start > size - mcap.FOOTER_SIZE or not _is_as_written(file, start, end):
        return None
    found = Summary(start)
    try:
        for each in records(file, start, size - mcap.FOOTER_SIZE):
            file.seek(each.at)
            content = mcap.read_exactly(file, each.length)
            if each.opcode == mcap.SCHEMA:
                schema = mcap.Schema.unpack(content)
                found.schemas[schema.id] = schema
            elif each.opcode == mcap.CHANNEL:
                channel = mcap.Channel.unpack(content)
                found.channels[channel.id] = channel
            elif each.opcode == mcap.CHUNK_INDEX:
                found.chunks.append(mcap.ChunkIndex.unpack(content))
            elif each.opcode == mcap.STATISTICS:
                found.statistics = mcap.Statistics.unpack(content)
    except McapError:
        return None
    return found


def has_summary(file: BinaryIO) -> bool:
    """Whether a finished file says that it has a summary, whole or not."""
    file.seek(-mcap.FOOTER_SIZE, os.SEEK_END)
    return bool(mcap.summary_start(file.read()))


def _is_as_written(file: BinaryIO, start: int, end: bytes) -> bool:
    """Whether the summary's checksum is right, or there is none."""
    told = int.from_bytes(end[-len(mcap.MAGIC) - _CRC_SIZE : -len(mcap.MAGIC)], "little")
    if not told:
        return True
    left = file.seek(0, 2) - len(mcap.MAGIC) - _CRC_SIZE - start
    file.seek(start)
    crc = 0
    while left and (block := file.read(min(left, _BLOCK))):
        crc, left = crc32(block, crc), left - len(block)
    return crc == told


def tells_of_all(file: BinaryIO, begin: int, summary: Summary) -> bool:
    """Whether every message of a file, whose records start at ``begin``, is in a chunk that the
    summary lists, and on a channel that it knows: the numbers agree, and between the chunks and
    behind them there is neither another chunk nor a message.
    """
    statistics, chunks = summary.statistics, summary.chunks
    if (
        statistics is None
        or statistics.told != statistics.messages
        or statistics.chunks != len(chunks)
        or statistics.channels != len(summary.channels)
        or not set(statistics.counts) <= set(summary.channels)
        or not {each.schema for each in summary.channels.values()} <= {0, *summary.schemas}
    ):
        return False
    at = begin
    try:
        for chunk in sorted(chunks, key=lambda each: each.offset):
            if _hides(file, at, chunk.offset):
                return False
            at = chunk.offset + chunk.size + chunk.index_size
        return not _hides(file, at, summary.start) and _stand_there(file, chunks)
    except McapError:
        return False


def _stand_there(file: BinaryIO, chunks: Sequence[mcap.ChunkIndex]) -> bool:
    """Whether chunks begin where they should; of very many, some are looked at. What was cut out of
    a file, or came into it, moves all that follows.
    """
    for chunk in chunks[:: 1 + len(chunks) // _MOST_LOOKED_AT]:
        file.seek(chunk.offset)
        head = mcap.read_exactly(file, mcap.RECORD.size)
        if mcap.RECORD.unpack(head) != (mcap.CHUNK, chunk.size - mcap.RECORD.size):
            return False
    return True


def contradicts(
    summary: Summary, chunks: Sequence[mcap.ChunkIndex], statistics: mcap.Statistics
) -> bool:
    """Whether a summary says otherwise than what was found in the file: such ``chunks`` and
    ``statistics``. One that does not say is no contradiction.
    """
    told = summary.statistics
    if told is not None and (told.told != statistics.messages or told.chunks != len(chunks)):
        return True
    places = sorted(each.offset for each in summary.chunks)
    return bool(places) and places != [each.offset for each in chunks]


def _hides(file: BinaryIO, at: int, end: int) -> bool:
    """Whether there is a chunk or a message among the records from ``at`` to ``end``."""
    if at > end:
        raise McapError("chunks overlap")
    return any(found.opcode in _HIDDEN for found in records(file, at, end))

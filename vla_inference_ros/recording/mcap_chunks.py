"""Opens the chunks of an MCAP file: their records, out of whatever they were compressed with."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO
from zlib import crc32

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_record import ChunkHead, Record, chunk_head

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# What a chunk may hold once it is decompressed. Recorders' chunks have some MB; a small file can
# claim any size, and one that is so compressed takes all memory [bytes].
MOST_CHUNK = 256 << 20
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BLOCK = 1 << 20  # read at once [bytes]


@dataclass(frozen=True, slots=True)
class Chunk:
    """An opened chunk: records from ``begin`` to ``end`` of a ``stream``. Of one that ``is_cut``
    the rest is missing.
    """

    head: ChunkHead
    stream: BinaryIO
    begin: int
    end: int
    is_cut: bool


def open_chunk(file: BinaryIO, found: Record) -> Chunk:
    """A chunk's content: where it is in the file, or out of it if it is compressed. McapError if
    it is damaged, as far as that can be told without reading what is not compressed.
    """
    head = chunk_head(file, found)
    end = min(head.end, found.end)
    is_cut = end < head.end
    if not head.compression:
        return Chunk(head, file, head.begin, end, is_cut)
    if head.size > MOST_CHUNK:
        raise McapError(
            f"the chunk at byte {found.begin} says that it holds {head.size >> 20} MB, over the "
            f"limit of {MOST_CHUNK >> 20} MB: write the file again with smaller chunks, as the "
            "mcap tool can"
        )
    if end - head.begin > 2 * MOST_CHUNK:  # nothing is compressed to more than it was
        raise McapError(_damaged(found))
    file.seek(head.begin)
    data = mcap.read_exactly(file, max(0, end - head.begin))
    try:
        content = decompressed(head.compression, data, head.size)
    except McapError as error:
        raise McapError(f"the chunk at byte {found.begin}: {error}") from error
    is_wrong = len(content) != head.size or (head.crc and crc32(content) != head.crc)
    if is_wrong and not is_cut:
        raise McapError(_damaged(found))
    return Chunk(head, BytesIO(content), 0, min(len(content), head.size), is_cut)


def is_as_written(chunk: Chunk) -> bool:
    """Whether a chunk's bytes are those that its checksum was made of; also if it has none. One
    that was compressed has been checked already.
    """
    if chunk.head.compression or not chunk.head.crc:
        return True
    chunk.stream.seek(chunk.begin)
    crc, left = 0, chunk.end - chunk.begin
    while left and (block := chunk.stream.read(min(left, _BLOCK))):
        crc, left = crc32(block, crc), left - len(block)
    return crc == chunk.head.crc


def decompressed(compression: str, data: bytes, size: int) -> bytes:
    """What was compressed to ``data``, as far as that goes, and no more than ``size`` bytes, of
    which one is too many. McapError.
    """
    try:
        if compression == "zstd":
            return _zstd(data, size + 1)
        if compression == "lz4":
            import lz4.frame  # type: ignore[import-untyped]

            found: bytes = lz4.frame.LZ4FrameDecompressor().decompress(data, size + 1)
            return found
    except Exception as error:  # each library has its own
        raise McapError(f"it cannot be decompressed: {error}") from error
    raise McapError(f"it is compressed with {compression!r}, not zstd or lz4")


def _damaged(found: Record) -> str:
    return f"the chunk at byte {found.begin} is damaged"


def _zstd(data: bytes, most: int) -> bytes:
    content = b""
    while data and len(content) < most:  # one frame, or some behind each other
        decompressor = zstd.ZstdDecompressor()
        content += decompressor.decompress(data, most - len(content))
        if not decompressor.eof:
            break
        data = decompressor.unused_data
    return content

"""MCAP files with holes, and the messages that a hole leaves whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_chunks import open_chunk
from vla_inference_ros.recording.mcap_records import records

CASES = Path(__file__).parents[1] / "data" / "mcap"

Message = tuple[int, int, bytes]  # channel, log time, data


def hole(path: Path, begin: int, end: int) -> None:
    """Zeros, as of a block that the disk has lost."""
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))


def messages_by_place(path: Path) -> list[tuple[int, int, Message]]:
    """The messages of a whole, uncompressed file with the bytes that they take: begin, end."""
    found = []
    with path.open("rb") as file:
        size = file.seek(0, 2) - len(mcap.MAGIC)
        for outer in records(file, len(mcap.MAGIC), size):
            if outer.opcode == mcap.DATA_END:
                break
            begin, end = outer.begin, outer.end
            if outer.opcode == mcap.CHUNK:
                chunk = open_chunk(file, outer)
                begin, end = chunk.begin, chunk.end
            for inner in records(file, begin, end):
                if inner.opcode == mcap.MESSAGE:
                    file.seek(inner.at)
                    content = file.read(inner.length)
                    channel, _, stamp, _ = mcap.MESSAGE_HEAD.unpack_from(content)
                    message = (channel, stamp, content[mcap.MESSAGE_HEAD.size :])
                    found.append((inner.begin, inner.end, message))
    return found


def chunk_heads(path: Path) -> list[tuple[int, int, int]]:
    """Where each chunk of a whole, uncompressed file begins, its records do, and it ends."""
    with path.open("rb") as file:
        size = file.seek(0, 2) - len(mcap.MAGIC)
        chunks = [
            each for each in records(file, len(mcap.MAGIC), size) if each.opcode == mcap.CHUNK
        ]
        return [(each.begin, open_chunk(file, each).begin, each.end) for each in chunks]


def spared(
    places: Sequence[tuple[int, int, Message]],
    heads: Sequence[tuple[int, int, int]],
    begin: int,
    end: int,
) -> list[Message]:
    """The messages that a hole leaves whole: none of a chunk whose head it takes."""
    lost = [(first, last) for first, inner, last in heads if begin < inner and first < end]
    return [
        message
        for at, to, message in places
        if (to <= begin or end <= at) and not any(first <= at < last for first, last in lost)
    ]


def without_index(path: Path) -> None:
    """Cut a whole file off where its data ends, as its recorder leaves it when it is killed."""
    with path.open("r+b") as file:
        size = file.seek(0, 2) - len(mcap.MAGIC)
        found = records(file, len(mcap.MAGIC), size)
        end = next(each for each in found if each.opcode in (mcap.METADATA, mcap.DATA_END))
        file.truncate(end.begin)

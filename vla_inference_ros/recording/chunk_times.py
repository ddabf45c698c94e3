"""Tells messages of a chunk by their times: what is damaged may look like a message, but has hardly
a log time that the chunk says it has.
"""

from __future__ import annotations

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_chunks import Chunk
from vla_inference_ros.recording.mcap_record import Record, head_of
from vla_inference_ros.recording.mcap_records import walk


class ChunkTimes:
    """The log times of a chunk's messages, as its head has them."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk, self._are_right = chunk, None if chunk.head.last else False

    def has(self, stamp: int) -> bool:
        """Whether a message has one of them, or the head is damaged that says them."""
        head = self._chunk.head
        if self._are_right is False or head.start <= stamp <= head.last:
            return True
        if self._are_right is None:
            self._are_right = self._agree()
        return not self._are_right

    def _agree(self) -> bool:
        chunk = self._chunk
        stamps = [
            head_of(chunk.stream, found)[1]
            for found in walk(chunk.stream, chunk.begin, chunk.end)
            if isinstance(found, Record) and found.opcode == mcap.MESSAGE
        ]
        head = chunk.head
        outside = sum(not head.start <= stamp <= head.last for stamp in stamps)
        return are_right(outside, len(stamps))


def are_right(outside: int, messages: int) -> bool:
    """Whether it is so many messages that are damaged, rather than their chunk's own times."""
    return 2 * outside <= messages

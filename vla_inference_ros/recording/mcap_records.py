"""Finds the records of an MCAP file, also behind damage: which bytes are a record, and which none.

Records stand one behind the other, so that damage to one hides where the next begins. It is looked
for then: what looks like a record, and is followed by what does, is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_record import (
    COMPRESSIONS,
    Record,
    chunk_head,
    is_sound,
)

_BLOCK = 1 << 20  # searched at once [bytes]
_READ_PER_BYTE = 32  # that is searched
_CHEAP = (mcap.MESSAGE, mcap.CHUNK, mcap.ATTACHMENT)  # are told without reading all of them
_MOST_PLACES = 10_000  # where a file, or a chunk, may be damaged: what is behind them is not read
# An opcode, and a length of less than 1 TB.
_CANDIDATE = re.compile(rb"(?=[\x03-\x0f].{5}\x00{3})", re.DOTALL)
_MOST = 1 << 40  # bytes of a record
_CHAIN = 3  # so many records behind each other that are easily mistaken are none by chance
_INDEX_HEAD = 6  # of a message index: a channel and a length [bytes]
_MOST_HEADLESS = 64 << 20  # that may be left of a chunk without its beginning [bytes]
_INNER = (mcap.SCHEMA, mcap.CHANNEL, mcap.MESSAGE)  # what a chunk holds


class Damage(NamedTuple):
    """Bytes from ``begin`` to ``end`` that are no record."""

    begin: int
    end: int


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
    places = 0
    while at < end:
        found = _record_at(stream, at, end)
        if found is not None:
            if previous is not None:
                yield previous
            if found.end > end:  # a chunk that was cut off: up to what no chunk holds
                found = Record.between(mcap.CHUNK, found.begin, _end_of_cut(stream, found, end))
            previous, at = found, found.end
            continue
        # A wrong length leads astray: what is behind the damage may begin in the record before.
        is_led = previous is not None and previous.opcode != mcap.CHUNK
        start = previous.at if previous and is_led else at + 1
        places += 1
        after = next_record(stream, start, end) if places < _MOST_PLACES else end
        if previous is not None and after < at:
            at = previous.begin
        elif previous is not None:
            yield previous
        previous = None
        yield Damage(at, after)
        at = after
    if previous is not None:
        yield previous


def walk_file(stream: BinaryIO, at: int, end: int) -> Iterator[Record | Damage]:
    """As ``walk``, of a whole file: messages of a chunk whose beginning is damaged, and with it the
    checksum of all, belong to the damage; the topics between them do not.
    """
    damage: Damage | None = None
    inner: list[Record] = []
    is_chunked = False
    for found in walk(stream, at, end):
        if damage is not None and isinstance(found, Record):
            if found.opcode in _INNER and found.end - damage.end < _MOST_HEADLESS:
                inner.append(found)
                continue
            is_headless = found.opcode == mcap.MESSAGE_INDEX
            is_headless |= is_chunked and found.opcode == mcap.CHUNK
            yield from _behind_damage(damage, inner, is_headless=is_headless)
            damage, inner = None, []
        if isinstance(found, Damage):
            if damage is not None:
                yield from _behind_damage(damage, inner, is_headless=False)
            damage, inner = found, []
            continue
        is_chunked = found.opcode in (mcap.CHUNK, mcap.MESSAGE_INDEX)
        yield found
    if damage is not None:
        yield from _behind_damage(damage, inner, is_headless=False)


def _behind_damage(
    damage: Damage, inner: list[Record], *, is_headless: bool
) -> Iterator[Record | Damage]:
    """Damage and what stands behind it, which may be what is left of a chunk."""
    if not (is_headless and inner):
        yield damage
        yield from inner
        return
    yield from (found for found in inner if found.opcode != mcap.MESSAGE)
    yield Damage(damage.begin, inner[-1].end)


def _end_of_cut(stream: BinaryIO, found: Record, end: int) -> int:
    """Where a chunk ends whose end was cut off: where its own records do, and others begin."""
    head = chunk_head(stream, found)
    at = min(head.begin, end)
    while at < end and not head.compression:
        inner = _record_at(stream, at, end)
        if inner is None or inner.opcode not in _INNER:
            break
        at = inner.end
    return next_record(stream, at, end, _INNER)


def _record_at(stream: BinaryIO, at: int, end: int) -> Record | None:
    """The record there, or None if there is no whole one; of a chunk also the beginning."""
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
    return found if found.end <= end and is_sound(stream, found) else None


def _chunk_at(stream: BinaryIO, found: Record, end: int) -> Record | None:
    """A chunk's length stands in it twice; where they differ, what follows decides."""
    try:
        head = chunk_head(stream, found)
    except McapError:
        return None
    if head.end == found.end:
        return found if found.end <= end or head.compression in COMPRESSIONS else None
    if found.end <= end and _may_begin_at(stream, found.end, end):
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
    """Where from ``at`` on the next record begins that is none of ``but``; ``end`` if none does.

    What is read for it is bounded by what is searched: a file could have any number of beginnings.
    """
    budget = _BLOCK
    while at < end:
        stream.seek(at)
        block = stream.read(min(_BLOCK, end - at))
        budget += _READ_PER_BYTE * len(block)
        for match in _CANDIDATE.finditer(block):
            opcode, length = mcap.RECORD.unpack_from(block, match.start())
            cost = 0 if opcode in _CHEAP else length
            if opcode in but or cost > min(budget, end - at):
                continue
            budget -= cost
            if _is_chain(stream, at + match.start(), end):
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
        if found.opcode == mcap.CHUNK or found.end == end:
            return True
        if _is_telling(found) and _may_begin_at(stream, found.end, end):
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
    """Whether a sound record says so much of itself that it hardly is one by chance."""
    if found.opcode == mcap.MESSAGE_INDEX:
        return found.length > _INDEX_HEAD
    return found.opcode in (mcap.SCHEMA, mcap.CHANNEL, mcap.METADATA, mcap.ATTACHMENT)

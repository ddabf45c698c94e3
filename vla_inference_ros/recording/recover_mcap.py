"""Completes one MCAP file: adds its end, or writes anew what is whole of one that is damaged.

Nothing is lost by it. Of a file that was only cut off, the end is added where it is, and what stood
behind its last whole record is kept beside it; a damaged file is kept whole.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag_metadata import (
    Compression,
    FileSummary,
    TopicSummary,
    as_yaml,
    information,
    summary_of,
)
from vla_inference_ros.recording.kept_aside import keep_aside, name_aside
from vla_inference_ros.recording.lost_types import restore_types
from vla_inference_ros.recording.mcap_chunks import open_chunk
from vla_inference_ros.recording.mcap_contents import Contents, Part, parts_of
from vla_inference_ros.recording.mcap_copy import McapCopy
from vla_inference_ros.recording.mcap_files import check_ros2
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_order import missing
from vla_inference_ros.recording.mcap_record import Record
from vla_inference_ros.recording.mcap_records import Damage
from vla_inference_ros.recording.mcap_scan import McapScan
from vla_inference_ros.recording.mcap_summary import contradicts
from vla_inference_ros.recording.recording import RecordingError

_MOST_LINES = 10  # about damaged parts of a file
_CUT = ".cut"
# What can be made anew of what stands before it.
_END = {
    *(mcap.MESSAGE_INDEX, mcap.CHUNK_INDEX, mcap.STATISTICS, mcap.METADATA, mcap.METADATA_INDEX),
    *(mcap.ATTACHMENT_INDEX, mcap.SUMMARY_OFFSET, mcap.DATA_END, mcap.FOOTER),
}


@dataclass(frozen=True, slots=True)
class Done:
    """What a file holds now, whether it was written to, and that in words; and whether rosbag2 has
    compressed its messages.
    """

    summary: FileSummary
    is_changed: bool
    lines: list[str]
    compression: Compression = ""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds, and whether it is to be left as it is, or else to be written anew rather
    than to get its end where it is.
    """

    scan: McapScan
    contents: Contents
    is_good: bool
    is_damaged: bool
    types: list[str]  # that are lost, in words

    @classmethod
    def of(cls, path: Path, name: str = "") -> Survey:
        """RecordingError if nothing can be made of a file, which is called ``name``; OSError."""
        name = name or str(path)
        try:
            scan = McapScan(path, name)
            types = restore_types(scan)
            check_ros2(scan)
            with path.open("rb") as file:
                contents = Contents.read(file, scan)
        except McapError as error:
            raise RecordingError(f"{name} cannot be completed: {error}") from error
        if scan.losses and not scan.channels:
            why = f"{scan.losses[0].why}, and there is no whole message"
            raise RecordingError(f"{name} cannot be completed: {why}")
        found = scan.summary
        is_damaged = contents.is_damaged or scan.end_is_damaged or bool(types)
        is_damaged |= bool(found and contradicts(found, contents.chunks, contents.statistics))
        return cls(scan, contents, scan.complete and not is_damaged, is_damaged, types)

    def as_it_is(self, file_name: str) -> Done:
        """Of a file that was left so."""
        summary = summary_of(file_name, self.contents.statistics, _topics(self.scan))
        lines = [f"{file_name}: {summary.messages} messages"]
        return Done(summary, False, lines, _compression(self.contents))


def finish(path: Path, name: str = "") -> Done:
    """Bring a file to what any tool can open; one that is so already is left as it is. Raises
    RecordingError if nothing can be made of it, and OSError, which leaves it as it was.
    """
    survey = Survey.of(path, name)
    if survey.is_good:
        return survey.as_it_is(path.name)
    if survey.is_damaged:
        return _written_anew(path, survey)
    return _ended(path, survey.scan, survey.contents)


def _ended(path: Path, scan: McapScan, contents: Contents) -> Done:
    """Add an end where the file is."""
    lost = scan.size - contents.size
    aside = _kept_end(path, contents)
    writer = None
    try:
        writer = McapCopy.resume(
            path,
            contents.keep,
            list(scan.schemas.values()),
            list(scan.channels.values()),
            contents.chunks,
            contents.statistics,
        )
        _end(writer, scan, contents, aside)
    except OSError:
        if aside is not None:
            _put_back(path, contents.keep, aside)
        raise
    finally:
        if writer is not None:
            writer.close()
    summary = summary_of(path.name, writer.statistics, _topics(scan))
    what = f"{lost} bytes were cut off, " if lost else ""
    if aside is not None:
        what = f"{lost} bytes that were cut off are kept as {aside.name}, "
    lines = [f"{path.name}: {summary.messages} messages, {what}finished now"]
    return Done(summary, True, lines, _compression(contents))


def _kept_end(path: Path, contents: Contents) -> Path | None:
    """A copy of what is going to be written over, if it may be of worth."""
    cut = contents.cut
    if cut is None:
        return None
    with path.open("rb") as file:
        file.seek(cut.found.begin)
        first = file.read(1)
        if not first or first[0] in _END or not _has_any(first, file):
            return None
        aside = name_aside(path, _CUT)
        try:
            with aside.open("xb") as copy:
                file.seek(contents.keep)
                shutil.copyfileobj(file, copy)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
    return aside


def _has_any(first: bytes, file: BinaryIO) -> bool:
    """Whether there is anything but zeros."""
    return any(first) or any(any(block) for block in iter(lambda: file.read(1 << 20), b""))


def _put_back(path: Path, size: int, aside: Path) -> None:
    """Undo; if there is no room for that either, the copy stays."""
    with suppress(OSError), path.open("r+b") as file, aside.open("rb") as copy:
        file.truncate(size)
        file.seek(size)
        shutil.copyfileobj(copy, file)
        file.flush()
        aside.unlink()


def _end(writer: McapCopy, scan: McapScan, contents: Contents, aside: Path | None) -> None:
    with scan.path.open("rb") as file:
        for other in contents.others:
            writer.list_other(file, other, other.begin)
    writer.index_last_chunk(contents.last)
    cut = contents.cut
    if aside is not None and cut is not None and cut.chunk is not None:
        with aside.open("rb") as copy:
            begin, end = (place - contents.keep for place in (cut.found.begin, cut.found.end))
            found = Record.between(mcap.CHUNK, begin, end)
            chunk = open_chunk(copy, found)
            places = {place + chunk.begin for place in cut.places}
            writer.copy_messages(chunk.stream, chunk.begin, chunk.end, places)
            writer.flush()
    summary = summary_of(scan.path.name, writer.statistics, _topics(scan))
    writer.finish(as_yaml(information("mcap", [summary], _compression(contents))))


def _written_anew(path: Path, survey: Survey) -> Done:
    """Write what is whole to a new file that takes the place of the damaged one."""
    scan, contents = survey.scan, survey.contents
    part = name_aside(path, ".part")
    writer = McapCopy(part, header=scan.header)
    try:
        with path.open("rb") as file:
            writer.add_topics(scan.schemas.values(), scan.channels.values())
            for each in parts_of(file, scan):
                _copy(writer, file, each)
        writer.flush()
        summary = summary_of(path.name, writer.statistics, _topics(scan))
        writer.finish(as_yaml(information("mcap", [summary], _compression(contents))))
    except BaseException:
        part.unlink()
        raise
    finally:
        writer.close()
    kept = keep_aside(path)
    part.rename(path)
    lines = [
        f"{path.name}: {summary.messages} whole messages, written anew; the file as it was is "
        f"kept as {kept.name}",
        *_losses(scan, contents),
        *_changes(scan, contents),
        *survey.types,
    ]
    return Done(summary, True, lines, _compression(contents))


def _compression(contents: Contents) -> Compression:
    return "MESSAGE" if contents.is_by_message else ""


def _copy(writer: McapCopy, file: BinaryIO, part: Part) -> None:
    found = part.found
    if isinstance(found, Damage):
        return
    if found.opcode == mcap.MESSAGE:
        writer.copy_messages(file, found.begin, found.end)
    elif found.opcode in (mcap.METADATA, mcap.ATTACHMENT):
        writer.copy_other(file, found)
    elif part.chunk is not None and (part.is_changed or part.unknown or not part.is_whole):
        chunk = part.chunk
        places = {place + chunk.begin for place in part.places}
        writer.copy_messages(chunk.stream, chunk.begin, chunk.end, places)
    elif part.index is not None:
        writer.copy_chunk(file, part.index, part.entries)


def _losses(scan: McapScan, contents: Contents) -> Iterator[str]:
    """What is lost, part by part, then topic by topic."""
    if contents.cut is not None:
        yield f"  its last {contents.cut.found.end - contents.cut.found.begin} bytes were cut off"
    for loss in contents.losses[:_MOST_LINES]:
        yield f"  {loss.why}"
    if len(contents.losses) > _MOST_LINES:
        yield f"  and {len(contents.losses) - _MOST_LINES} damaged parts more"
    counts = missing(scan, Counter(contents.statistics.counts), contents.losses)
    for number, count in sorted(counts.items()):
        yield f"  lost of {_name(scan, number)}: {count} messages"
    for number, count in sorted(contents.unknown.items()):
        yield (
            f"  lost on channel {number}: {count} messages, since of which topic they are was in "
            "what is damaged"
        )
    if any(not loss.messages for loss in contents.losses) and scan.told is None:
        yield "  what else was in the damaged parts the file does not tell"


def _changes(scan: McapScan, contents: Contents) -> Iterator[str]:
    for number, count in sorted(contents.doubtful.items()):
        yield (
            f"  kept of {_name(scan, number)}: {count} messages, of which some may be changed: "
            "their chunk's checksum was wrong"
        )


def _name(scan: McapScan, number: int) -> str:
    channel = scan.channels.get(number)
    return channel.topic if channel else f"channel {number}"


def _topics(scan: McapScan) -> dict[int, TopicSummary]:
    return {
        number: TopicSummary(
            channel.topic,
            scan.type_of(channel),
            channel.metadata.get("offered_qos_profiles", ""),
            channel.metadata.get("topic_type_hash", ""),
            0,
        )
        for number, channel in scan.channels.items()
    }

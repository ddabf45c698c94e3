"""Completes bags whose recorder was killed: each MCAP file's end, and ``metadata.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag_files import named_files, read_metadata, storage_files
from vla_inference_ros.recording.bag_metadata import (
    METADATA_FILE,
    FileSummary,
    TopicSummary,
    as_yaml,
    information,
    summary_of,
    write_metadata,
)
from vla_inference_ros.recording.in_use import check_ended
from vla_inference_ros.recording.mcap_file import McapFile
from vla_inference_ros.recording.mcap_format import McapError
from vla_inference_ros.recording.mcap_scan import McapScan, Record, head_of, open_chunk, records
from vla_inference_ros.recording.recording import RecordingError


def recover_bag(path: Path) -> list[str]:
    """Bring a bag, or a single .mcap file, to what any tool can open; what was found and done, a
    line each.

    A complete one is left as it is. Only what was cut off is thrown away: the chunk that was being
    written. Raises RecordingError for what cannot be completed, InUseError while its recorder runs,
    and OSError.
    """
    check_ended(path if path.is_dir() else path.parent)
    if not path.is_dir():
        return [_finish(path)[1]]
    files = storage_files(path)
    if not files or files[0].suffix != ".mcap":
        raise RecordingError(
            f"{path} has no .mcap file to complete; for a bag of .db3 files there is "
            "'ros2 bag reindex'"
        )
    done = [_finish(file) for file in files]
    lines = [line for _, line in done]
    if problem := _trouble(path):
        old = path / METADATA_FILE
        if old.exists():
            old.rename(path / f"{METADATA_FILE}.old")
        write_metadata(path, information("mcap", [summary for summary, _ in done]))
        lines.append(f"{METADATA_FILE}: {problem}, made anew")
    return lines


def _trouble(folder: Path) -> str:
    """What is wrong with a bag's metadata.yaml; empty if nothing."""
    if not (folder / METADATA_FILE).exists():
        return "missing"
    try:
        named = named_files(folder, read_metadata(folder))
    except RecordingError:
        return f"damaged, kept as {METADATA_FILE}.old"
    if set(named) != set(storage_files(folder)):
        return f"not of all files, kept as {METADATA_FILE}.old"
    return ""


def _finish(path: Path) -> tuple[FileSummary, str]:
    """Add a file's end if it has none; what it holds, and a line that says so."""
    try:
        scan = McapScan(path)
        with path.open("rb") as file:
            found = _Contents.read(file, scan)
    except McapError as error:
        raise RecordingError(f"{path} cannot be completed: {error}") from error
    summary = summary_of(path.name, found.statistics, _topics(scan))
    if scan.complete:
        return summary, f"{path.name}: {summary.messages} messages"
    lost = path.stat().st_size - found.size
    with path.open("r+b") as file:
        file.truncate(found.size)
        file.seek(found.size)
        found.index_last_chunk(file)
        size = file.tell()
    schemas, channels = list(scan.schemas.values()), list(scan.channels.values())
    writer = McapFile.resume(path, size, schemas, channels, found.chunks, found.statistics)
    try:
        writer.finish(as_yaml(information("mcap", [summary])))
    finally:
        writer.close()
    what = f"{lost} bytes were cut off, " if lost else ""
    return summary, f"{path.name}: {summary.messages} messages, {what}finished now"


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


@dataclass(slots=True)
class _Contents:
    """What a file holds up to its end: ``size`` [bytes] of whole records."""

    size: int
    statistics: mcap.Statistics
    chunks: list[mcap.ChunkIndex] = field(default_factory=list)
    last: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # the last chunk's index

    @classmethod
    def read(cls, file: BinaryIO, scan: McapScan) -> _Contents:
        """Of a file that can be scanned; McapError if one with an end is damaged."""
        contents = cls(scan.begin, mcap.Statistics(dict.fromkeys(scan.channels, 0)))
        try:
            for found in records(file, scan.begin, scan.size):
                if found.opcode in (mcap.DATA_END, mcap.FOOTER):
                    break
                contents._add(file, found)
        except McapError:
            if scan.complete:
                raise
        return contents

    def _add(self, file: BinaryIO, found: Record) -> None:
        begin = found.at - mcap.RECORD.size
        if found.opcode == mcap.CHUNK:
            self._add_chunk(file, found)
        elif found.opcode == mcap.MESSAGE:
            self.statistics.add(*head_of(file, found))
        elif found.opcode == mcap.MESSAGE_INDEX and self.chunks:
            (channel,) = mcap.Fields(mcap.read_exactly(file, 2)).take("<H")
            chunk = self.chunks[-1]
            chunk.offsets[channel] = begin
            chunk.index_size += found.end - begin
        self.size = found.end

    def _add_chunk(self, file: BinaryIO, found: Record) -> None:
        chunk = open_chunk(file, found)
        index: dict[int, list[tuple[int, int]]] = {}
        for inner in records(chunk.stream, chunk.begin, chunk.end):
            if inner.opcode == mcap.MESSAGE:
                channel, stamp = head_of(chunk.stream, inner)
                place = inner.at - mcap.RECORD.size - chunk.begin
                index.setdefault(channel, []).append((stamp, place))
        for channel, entries in index.items():
            for stamp, _ in entries:
                self.statistics.add(channel, stamp)
        self.last = index
        self.statistics.chunks += 1
        begin = found.at - mcap.RECORD.size
        self.chunks.append(
            mcap.ChunkIndex(
                chunk.start,
                chunk.last,
                begin,
                found.end - begin,
                {},
                0,
                chunk.compression,
                chunk.compressed,
                chunk.end - chunk.begin,
            )
        )

    def index_last_chunk(self, file: BinaryIO) -> None:
        """Write the index of the last chunk, if its end was cut off."""
        if not self.chunks or set(self.chunks[-1].offsets) == set(self.last):
            return
        chunk = self.chunks[-1]
        file.seek(chunk.offset + chunk.size)
        file.truncate()
        chunk.offsets, chunk.index_size = {}, 0
        for channel, entries in self.last.items():
            chunk.offsets[channel] = file.tell()
            chunk.index_size += file.write(mcap.message_index(channel, entries))

"""Bags that others have written, and how else a bag can be laid out."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]
import numpy as np
import pytest
from bags import (
    COUNT,
    FIRST,
    assert_holds,
    bag,
    file_of,
    foreign_bag,
    log_time,
    parts,
    random_bytes,
    run_messages,
)
from recorded import TOPIC
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag, RawMessage
from vla_inference_ros.recording.bag_metadata import (
    FileSummary,
    TopicSummary,
    information,
    write_metadata,
)
from vla_inference_ros.recording.definitions import definition_of
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.topics import TOPICS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# SQLite has no compression of its own.
WAYS = [
    (storage, compression)
    for storage in StoragePlugin
    for compression in CompressionMode
    if (storage, compression) != (StoragePlugin.SQLITE3, CompressionMode.STORAGE)
]


@pytest.mark.parametrize(("storage", "compression"), WAYS)
def test_bags_of_other_recorders_are_read(
    storage: StoragePlugin, compression: CompressionMode, tmp_path: Path
) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), storage, compression)
    assert_holds(folder)
    assert parts(Bag(folder).raw()) == parts(run_messages())
    assert Bag(folder).topics() == {each.topic: each.type for each in run_messages(1)}
    assert parts(Bag(folder).raw([])) == []


@pytest.mark.parametrize("storage", StoragePlugin)
def test_files_without_metadata_are_read(storage: StoragePlugin, tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), storage)
    (folder / "metadata.yaml").unlink()
    assert_holds(folder)


def by_hand(path: Path, *records: bytes, end: bool = True) -> Path:
    """An MCAP file without a summary."""
    header = mcap.record(mcap.HEADER, mcap.string("ros2"), mcap.string("by hand"))
    tail = mcap.record(mcap.DATA_END, bytes(4)) + mcap.footer(0, 0) if end else b""
    path.write_bytes(mcap.MAGIC + header + b"".join(records) + tail)
    return path


def record_of(message: RawMessage, channel: int) -> bytes:
    head = mcap.MESSAGE_HEAD.pack(channel, 0, message.stamp_ns, message.stamp_ns)
    return mcap.record(mcap.MESSAGE, head, message.data)


def plain_records(count: int = COUNT) -> list[bytes]:
    """Schemas, channels and messages, one after the other."""
    channels: dict[str, int] = {}
    found = []
    for each in run_messages(count):
        if each.topic not in channels:
            number = channels[each.topic] = len(channels) + 1
            text = definition_of(each.type).text
            found.append(mcap.Schema(number, each.type, "ros2msg", text).pack())
            found.append(mcap.Channel(number, number, each.topic, "cdr", {}).pack())
        found.append(record_of(each, channels[each.topic]))
    return found


def chunk_of(records: bytes, compression: str, compress: Callable[[bytes], bytes]) -> bytes:
    data = compress(records)
    head = mcap.CHUNK_HEAD.pack(FIRST, 2**62, len(records), 0)
    size = len(data).to_bytes(8, "little")
    return mcap.record(mcap.CHUNK, head, mcap.string(compression), size, data)


@pytest.mark.parametrize("end", [True, False])
def test_messages_need_no_chunks(tmp_path: Path, end: bool) -> None:
    path = by_hand(tmp_path / "plain.mcap", *plain_records(), end=end)
    assert_holds(path)
    assert Bag(path).complete is end


def test_long_runs_without_chunks_are_read_in_order(tmp_path: Path) -> None:
    records = plain_records(1)
    for number in range(100):
        data = b"\x00\x01\x00\x00" + random_bytes(150_000, number)
        message = RawMessage(TOPIC, TOPICS[TOPIC], log_time(1 + number ^ 1), data)
        records.append(record_of(message, 2))
    stamps = [each.stamp_ns for each in Bag(by_hand(tmp_path / "a.mcap", *records)).raw([TOPIC])]
    assert len(stamps) == 101
    assert stamps == sorted(stamps)


def test_chunks_may_be_compressed_with_lz4(tmp_path: Path) -> None:
    compressed = chunk_of(b"".join(plain_records()), "lz4", lz4.frame.compress)
    assert_holds(by_hand(tmp_path / "lz4.mcap", compressed))


def bomb(path: Path, size: int, said: int) -> Path:
    """A file with a chunk of ``size`` zeros that says it holds ``said`` bytes."""
    compressor = zstd.ZstdCompressor()
    zeros = bytes(1 << 20)
    data = b"".join(compressor.compress(zeros) for _ in range(size >> 20)) + compressor.flush()
    head = mcap.CHUNK_HEAD.pack(FIRST, FIRST, said, 0)
    length = len(data).to_bytes(8, "little")
    return by_hand(path, mcap.record(mcap.CHUNK, head, mcap.string("zstd"), length, data))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (1 << 30, r"the chunk at byte \d+ says that it holds 1024 MB, over the limit of 256 MB"),
        (1 << 20, r"the chunk at byte \d+ is damaged"),
    ],
)
def test_a_small_file_cannot_take_all_memory(tmp_path: Path, said: int, message: str) -> None:
    path = bomb(tmp_path / "bomb.mcap", 1 << 30, said)
    assert path.stat().st_size < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RecordingError, match=message):
        list(Bag(path).raw())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # [kB]


def test_a_chunk_may_be_of_several_frames(tmp_path: Path) -> None:
    records = b"".join(plain_records())
    half = len(records) // 2

    def two(data: bytes) -> bytes:
        return zstd.compress(data[:half]) + zstd.compress(data[half:])

    assert_holds(by_hand(tmp_path / "two.mcap", chunk_of(records, "zstd", two)))


def test_a_summary_need_not_say_all(tmp_path: Path) -> None:
    """One that has the chunks' index but not the topics."""
    path = file_of(bag(tmp_path / "bag", run_messages()))
    data = path.read_bytes()
    start = mcap.summary_start(data[-mcap.FOOTER_SIZE :])
    assert start
    at = data.index(bytes([mcap.STATISTICS]), data.index(b"/vla/features", start))
    path.write_bytes(data[:start] + data[at : -mcap.FOOTER_SIZE] + mcap.footer(start, 0))
    assert_holds(path)


def test_messages_are_read_by_time_however_they_were_written(tmp_path: Path) -> None:
    messages = list(run_messages())
    order = np.random.default_rng(1).permutation(len(messages))
    folder = bag(tmp_path / "bag", [messages[number] for number in order])
    assert parts(Bag(folder).raw()) == parts(messages)
    assert_holds(folder)


def split_bag(folder: Path, parts: int) -> Path:
    """As ros2 bag splits one."""
    folder.mkdir()
    messages = list(run_messages())
    files = []
    for number in range(parts):
        share = messages[number * len(messages) // parts : (number + 1) * len(messages) // parts]
        file = file_of(bag(folder / f"part{number}", share))
        name = f"bag_{number}.mcap"
        file.rename(folder / name)
        topics = [
            TopicSummary(topic, TOPICS[topic], "", "", sum(each.topic == topic for each in share))
            for topic in {each.topic: 0 for each in share}
        ]
        files.append(FileSummary(name, share[0].stamp_ns, share[-1].stamp_ns, topics))
    write_metadata(folder, information("mcap", files))
    return folder


@pytest.mark.parametrize("metadata", [True, False])
def test_a_bag_may_be_split(tmp_path: Path, metadata: bool) -> None:
    folder = split_bag(tmp_path / "bag", 12)
    if not metadata:
        (folder / "metadata.yaml").unlink()
    assert_holds(folder)
    assert parts(Bag(folder).raw()) == parts(run_messages())

"""MCAP's conformance tests: all 416 files are read rightly, and recovered where they are cut."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance import (
    CHANNELS,
    CHUNK_INDEX,
    CHUNKS,
    SCHEMAS,
    STATISTICS,
    Attachment,
    Message,
    Metadata,
    Variant,
    packed,
    variants,
)
from damaged_mcap import messages_by_place

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_files import open_files
from vla_inference_ros.recording.mcap_contents import Contents
from vla_inference_ros.recording.mcap_order import messages
from vla_inference_ros.recording.mcap_record import Record
from vla_inference_ros.recording.mcap_scan import Loss, McapScan
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover_bag import recover_bag

COUNT = 416
# Of all files behind each other, by their names: that of those that are published.
DIGEST = "814c30e436ffa153c5ac3de5b48fe4187cff7418a9e45d4c974f9eac5d79f593"
SEED, CUTS, SHORT_CUTS = 3, 2000, 50


def test_the_files_are_those_that_are_published() -> None:
    found = sorted(variants(), key=lambda variant: variant.name)
    assert len(found) == COUNT
    assert hashlib.sha256(b"".join(map(packed, found))).hexdigest() == DIGEST


def read(scan: McapScan) -> tuple[list[tuple[int, int, bytes]], list[object]]:
    """The messages by log time, and what was told of losses."""
    told: list[object] = []
    found = messages(
        [(scan, scan.channels)],
        lambda _, loss: told.append(loss) if isinstance(loss, Loss) or loss else None,
    )
    return [(channel, stamp, data) for _, channel, stamp, data in found], told


def expected(items: list[Message]) -> list[tuple[int, int, bytes]]:
    """By log time; those of the same time as they stand there."""
    by_time = sorted(items, key=lambda item: item.log_time)
    return [(item.channel, item.log_time, item.data) for item in by_time]


def topics(variant: Variant) -> tuple[list[mcap.Schema], list[mcap.Channel]]:
    return (
        [item for item in variant.items if isinstance(item, mcap.Schema)],
        [item for item in variant.items if isinstance(item, mcap.Channel)],
    )


def tells_of_all(variant: Variant) -> bool:
    """Whether its summary proves that it names everything."""
    schemas, channels = topics(variant)
    needed = {STATISTICS}
    needed |= {SCHEMAS} if schemas else set()
    needed |= {CHANNELS} if channels else set()
    needed |= {CHUNK_INDEX} if CHUNKS in variant.features or variant.messages() else set()
    return needed <= variant.features


def test_every_file_is_read_rightly(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    right = 0
    for variant in variants():
        path.write_bytes(packed(variant))
        scan = McapScan(path)
        assert read(scan) == (expected(variant.messages()), []), variant.name
        assert (list(scan.schemas.values()), list(scan.channels.values())) == topics(variant)
        assert scan.complete
        assert scan.is_indexed == tells_of_all(variant), variant.name
        with path.open("rb") as file:
            contents = Contents.read(file, scan)
        others = [item for item in variant.items if isinstance(item, (Attachment, Metadata))]
        assert len(contents.others) == len(others)
        assert not contents.is_damaged
        right += 1
    assert right == COUNT


def test_every_file_as_of_ros_is_a_bag_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    for variant in variants(ros=True):
        data = packed(variant, "ros2")
        path.write_bytes(data)
        files = open_files(path)
        found = list(files.raw(files.topics, lambda *lost: pytest.fail(str(lost))))
        assert [each.data for each in found] == [each[-1] for each in expected(variant.messages())]
        recover_bag(path)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(RecordingError, match="has none of the topics of a run"):
        Bag(path)


def cuts(count: int) -> Iterator[tuple[Variant, bytes, int]]:
    """A file, and where it is cut off: spread over all of them, and over each."""
    chance = random.Random(SEED)
    found = list(variants(ros=True))
    chance.shuffle(found)
    for number in range(count):
        variant = found[number * len(found) // count if count < len(found) else number % len(found)]
        data = packed(variant, "ros2")
        yield variant, data, chance.randrange(1, len(data))


@pytest.mark.long
def test_whole_messages_before_a_cut_are_recovered(tmp_path: Path, full: bool) -> None:
    recovered = kept = 0
    for number, (variant, data, cut) in enumerate(cuts(CUTS if full else SHORT_CUTS)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "a.mcap"
        path.write_bytes(data)
        whole = [message for _, end, message in messages_by_place(path) if end <= cut]
        attachments = attached(path, data, cut)
        path.write_bytes(data[:cut])
        try:
            recover_bag(path)
        except RecordingError:
            assert not whole, variant.name
            assert path.read_bytes() == data[:cut]
            continue
        scan = McapScan(path)
        assert scan.complete
        assert read(scan) == (sorted(whole, key=lambda message: message[1]), []), variant.name
        assert all(each in path.read_bytes() for each in attachments), variant.name
        recovered += 1
        kept += len(whole)
        again = path.read_bytes()
        recover_bag(path)
        assert path.read_bytes() == again
    assert recovered > (CUTS if full else SHORT_CUTS) // 2
    assert kept > recovered


def attached(path: Path, data: bytes, cut: int) -> list[bytes]:
    """The records of attachments and metadata that are whole before a cut."""
    with path.open("rb") as file:
        others = Contents.read(file, McapScan(path)).others
    return [slice_of(data, other) for other in others if other.end <= cut]


def slice_of(data: bytes, found: Record) -> bytes:
    return data[found.begin : found.end]

"""Bag files that are damaged, or whose summary does not say all: what is whole of them is read."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest
from bags import bag, file_of, foreign_bag, parts, run_messages
from damaged_mcap import CASES, chunk_heads, hole, messages_by_place, spared, without_index
from rosbags.rosbag2 import CompressionMode

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag, RawMessage
from vla_inference_ros.recording.mcap_summary import read_summary
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover_bag import recover_bag

INSTRUCTION = "/vla/instruction"
SEED, HOLES = 5, 60


def texts(path: Path) -> list[str]:
    """The strings in a bag of them, as ``m12``."""
    return [each.data[8:].rstrip(b"\0").decode() for each in Bag(path).raw()]


@pytest.mark.parametrize(
    "case", ["chunks_noindex_nostat", "one_chunk_not_indexed", "unchunked_nostat"]
)
def test_a_summary_that_does_not_tell_of_all_is_not_believed(case: str) -> None:
    found = Bag(CASES / f"{case}.mcap")
    assert found.complete
    assert texts(found.path) == [f"m{number}" for number in range(6)]
    assert not found.odd.lines()


def test_a_summary_whose_numbers_do_not_agree_is_not_believed(tmp_path: Path) -> None:
    """The number of messages, of chunks or of channels; a chunk too few, one twice."""
    whole = file_of(bag(tmp_path / "bag", run_messages()))
    data = whole.read_bytes()
    start = mcap.summary_start(data[-mcap.FOOTER_SIZE :])
    assert start
    with whole.open("rb") as file:
        summary = read_summary(file, len(data))
    assert summary
    assert summary.statistics
    first, second = (summary.chunks[number].pack() for number in (0, 1))
    statistics = data.index(mcap.RECORD.pack(mcap.STATISTICS, 46 + 10 * 6), start)
    lies = [data.replace(first, second), data.replace(first, b"")]
    for place, size in ((0, 8), (10, 4), (22, 4)):
        at = statistics + mcap.RECORD.size + place
        lies.append(data[:at] + (3).to_bytes(size, "little") + data[at + size :])
    for number, lie in enumerate(lies):
        path = tmp_path / f"lie{number}.mcap"
        path.write_bytes(lie)
        assert parts(Bag(path).raw()) == parts(run_messages())


def test_a_summary_with_a_wrong_checksum_is_not_believed(tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages())
    path = file_of(folder)
    data = bytearray(path.read_bytes())
    data[-12:-8] = b"\1\2\3\4"
    path.write_bytes(data)
    assert parts(Bag(folder).raw()) == parts(run_messages())


def test_a_bad_chunk_costs_itself_alone_and_is_counted() -> None:
    found = Bag(CASES / "zstd_bad_chunk_finished.mcap")
    numbers = [int(text[1:]) for text in texts(found.path)]
    assert numbers == [number for number in range(40) if not 10 <= number < 15]
    for _ in range(2):  # to read again counts nothing twice
        assert len(list(found.raw())) == 35
        messages, pieces = found.odd.lines()
        assert re.match(f"left out, .*: 5 of {INSTRUCTION}, damaged in the file: ", messages)
        assert re.search(r"1 of its parts, damaged .*: the chunk at byte 430 is damaged", pieces)
    with pytest.raises(RecordingError, match="the chunk at byte 430 is damaged"):
        list(Bag(found.path, strict=True).raw())


def test_what_stands_behind_damage_is_read() -> None:
    """The damage took a chunk's head, and with it the checksum of the chunk's messages."""
    found = Bag(CASES / "zeros_in_middle_unfinished.mcap")
    assert texts(found.path) == [f"m{number}" for number in range(40) if not 10 <= number < 15]
    list(found.raw())
    (line,) = found.odd.lines()
    assert "1 of its parts, damaged in the file" in line
    assert line.endswith("bytes 655 to 919 are damaged")


@pytest.mark.parametrize("finished", [True, False])
def test_a_hole_anywhere_costs_what_is_in_it_alone(tmp_path: Path, finished: bool) -> None:
    """And how many messages of a topic that are is told by the chunks' index."""
    path = file_of(bag(tmp_path / "bag", run_messages()))
    places, heads = messages_by_place(path), chunk_heads(path)
    if not finished:
        without_index(path)
    data = path.read_bytes()
    topics = places[10][0]  # the first messages and all topics stand before
    chance = random.Random(SEED)
    for _ in range(HOLES):
        begin = chance.randrange(topics, places[-12][1])
        end = begin + chance.choice((1, 30, 500, 4096))
        path.write_bytes(data)
        hole(path, begin, end)
        whole = spared(places, heads, begin, end)
        found = Bag(path)
        read = [each.data for each in found.raw()]
        assert set(read) >= {data for *_, data in whole}
        assert len(whole) <= len(read) <= len(places)
        told = sum(int(line.split()[6]) for line in found.odd.lines() if " of /" in line)
        if finished:
            assert told == len(places) - len(read)


def test_a_hole_in_a_compressed_bag_costs_a_chunk(tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), compression=CompressionMode.STORAGE)
    path = file_of(folder)
    with path.open("rb") as file:
        summary = read_summary(file, path.stat().st_size)
    assert summary
    chunk = summary.chunks[-1]
    hole(path, chunk.offset + chunk.size // 2, chunk.offset + chunk.size)
    found = Bag(folder)
    lost = len(run_messages()) - len(list(found.raw()))
    lines = found.odd.lines()
    assert lost == sum(int(line.split()[6]) for line in lines if " of /" in line) > 0
    assert sum(" of its parts, " in line for line in lines) == 1


def test_a_file_whose_beginning_is_lost_is_read_if_its_end_names_its_topics(tmp_path: Path) -> None:
    path = file_of(bag(tmp_path / "bag", run_messages()))
    places = messages_by_place(path)
    hole(path, 0, places[12][0])
    read = [each.data for each in Bag(path).raw()]
    assert read == [data for _, _, (_, _, data) in places[12:]]


def test_messages_whose_topic_is_lost_are_counted(tmp_path: Path) -> None:
    path = file_of(bag(tmp_path / "bag", run_messages()))
    places = messages_by_place(path)
    without_index(path)
    hole(path, 0, places[2][1])  # with the topics of the first three
    found = Bag(path)
    read = [each.data for each in found.raw()]
    assert read == [data for _, _, (channel, _, data) in places[3:] if channel > 3]
    lines = [line for line in found.odd.lines() if "messages on channel" in line]
    assert len(lines) == 3
    assert all(" 19 of the messages on channel " in line for line in lines)


def test_a_wrong_length_does_not_lead_past_the_next_message(tmp_path: Path) -> None:
    """Of a message outside of chunks that claims to be as long as it and the two behind it."""
    path = CASES / "unchunked_nostat.mcap"
    data = bytearray(path.read_bytes())
    at = data.index(b"\x05\x21" + bytes(7))
    data[at + 1] = 0x21 + 50
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(data)
    assert texts(broken) == [f"m{number}" for number in range(1, 6)]


def test_a_profile_that_is_left_out_is_that_of_ros_2_if_all_topics_are() -> None:
    path = CASES.parent / "bag" / "profile_empty.mcap"
    assert b"\x00\x00\x00\x00" in path.read_bytes()[17:21]
    found = Bag(path)
    assert len(list(found.raw())) == 152
    assert len(list(found.frames())) > 0
    assert not found.odd.lines()


@pytest.mark.parametrize(("old", "new"), [(b"cdr", b"cbr"), (b"ros2msg", b"jschema")])
def test_a_profile_that_is_left_out_is_not_that_of_other_systems(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    path = tmp_path / "other.mcap"
    shutil.copy(CASES / "unchunked_nostat.mcap", path)
    data = path.read_bytes().replace(old, new)
    header = mcap.record(mcap.HEADER, mcap.string(""), mcap.string(""))
    path.write_bytes(mcap.MAGIC + header + data[data.index(b"\x03\x34" + bytes(7)) :])
    with pytest.raises(RecordingError, match=f"its profile is '', not 'ros2'.*{new.decode()!r}"):
        Bag(path)


PATTERNS = {  # each of which begins a record that leads nowhere, or claims to be a long one
    "zeros": bytes(9),
    "messages": b"\x05\x20" + bytes(7),
    "long messages": b"\x05\x00\x00\x10" + bytes(5),
    "schemas": b"\x03\x00\x00\x03" + bytes(5) + b"\x01\x00\x00\x00\x02\x00",
    "metadata": b"\x0c" + (20_000).to_bytes(8, "little") + (19_000).to_bytes(4, "little"),
    "chunks without an end": b"\x06"
    + (1 << 30).to_bytes(8, "little")
    + bytes(32)
    + ((1 << 30) - 40).to_bytes(8, "little"),
    "indexes": b"\x07\x06" + bytes(7) + b"\1\0" + bytes(4),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_damage_keeps_a_reader_for_ever(tmp_path: Path, pattern: str) -> None:
    """However many records seem to begin there; what stands behind is found."""
    path = file_of(bag(tmp_path / "bag", run_messages()))
    places = messages_by_place(path)
    without_index(path)
    data = path.read_bytes()
    middle = places[62][0]
    rubbish = PATTERNS[pattern] * (300_000 // len(PATTERNS[pattern]))
    path.write_bytes(data[:middle] + rubbish + data[middle:])
    read = [each.data for each in Bag(path).raw()]
    assert set(read) >= {data for *_, (_, _, data) in places[:60]}
    recover_bag(path)
    again = Bag(path)
    assert again.complete
    assert len(list(again.raw())) >= 60


@pytest.mark.parametrize(
    ("opcode", "length"),
    [
        (mcap.SUMMARY_OFFSET, 17),
        (mcap.METADATA_INDEX, 20),
        (mcap.ATTACHMENT_INDEX, 50),
        (mcap.STATISTICS, 60),
        (mcap.CHUNK_INDEX, 80),
        (mcap.MESSAGE_INDEX, 22),
        (mcap.DATA_END, 4),
        (mcap.MESSAGE, 30),
    ],
)
def test_what_looks_like_a_record_in_a_message_does_not_end_a_chunk(
    tmp_path: Path, opcode: int, length: int
) -> None:
    """Of a chunk that is cut off, its end is looked for; numbers in messages may be anything."""
    seeming = mcap.record(opcode, bytes(length)) + b"\xff" * 20
    if opcode == mcap.MESSAGE_INDEX:
        seeming = mcap.message_index(1, [(1, 2)]) + b"\xff" * 20
    messages = [
        RawMessage(each.topic, each.type, each.stamp_ns, each.data + seeming)
        for each in run_messages(4)
    ]
    path = file_of(bag(tmp_path / "bag", messages))
    places = messages_by_place(path)
    cut = places[-1][1] - 1
    with path.open("r+b") as file:
        file.truncate(cut)
    found = Bag(path)
    assert [each.data for each in found.raw()] == [each.data for each in messages[:-1]]
    assert not found.odd.lines()

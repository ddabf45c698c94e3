"""What recovery leaves can be read from its first byte to its last by who believes every length."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from bags import bag, file_of, parts, run_messages
from damaged_mcap import CASES, chunk_heads, hole, messages_by_place, without_index

from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.mcap_copy import McapCopy
from vla_inference_ros.recording.mcap_summary import read_summary
from vla_inference_ros.recording.recover import main

INSTRUCTION = "/vla/instruction"


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A file of a run."""
    return file_of(bag(tmp_path / "bag", run_messages()))


@pytest.fixture
def text_bag(tmp_path: Path) -> Path:
    """A finished file of 40 texts in 8 compressed chunks, of which the third is bad."""
    return Path(shutil.copy(CASES / "zstd_bad_chunk_finished.mcap", tmp_path))


def linear(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The place, opcode and content of each record, one behind the other."""
    assert data[:8] == data[-8:] == mcap.MAGIC
    at = 8
    while at < len(data) - 8:
        opcode, length = struct.unpack_from("<BQ", data, at)
        assert at + 9 + length <= len(data) - 8
        yield at, opcode, data[at + 9 : at + 9 + length]
        at += 9 + length


def assert_valid(path: Path) -> None:
    data = path.read_bytes()
    found = list(linear(data))
    assert found[0][1] == mcap.HEADER
    assert found[-1][1] == mcap.FOOTER
    schemas = {content[:2] for _, opcode, content in found if opcode == mcap.SCHEMA}
    channels = {content[2:4] for _, opcode, content in found if opcode == mcap.CHANNEL}
    assert channels <= schemas | {b"\0\0"}
    with path.open("rb") as file:
        summary = read_summary(file, len(data))
    assert summary
    places = [at for at, opcode, _ in found if opcode == mcap.CHUNK]
    assert [chunk.offset for chunk in summary.chunks] == places


def plain_bag(path: Path, topic: str) -> Path:
    """A finished file of five texts in a chunk, whose topic and type stand before it."""
    writer = McapCopy(path)
    schema = mcap.Schema(1, "std_msgs/msg/String", "ros2msg", "string data\n")
    writer.add_topics([schema], [mcap.Channel(1, 1, topic, "cdr", {})])
    for number in range(1, 6):
        head = mcap.MESSAGE_HEAD.pack(1, number, number, number)
        data = head + b"\0\1\0\0\2\0\0\0m\0"
        writer.add_message(1, number, mcap.record(mcap.MESSAGE, data))
    writer.flush()
    writer.finish("")
    writer.close()
    return path


def place_of(path: Path, opcode: int, number: int = 0) -> int:
    return [at for at, kind, _ in linear(path.read_bytes()) if kind == opcode][number]


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


@pytest.mark.parametrize("place", [1, 1 + 8 + 28 + 4 + 4])
@pytest.mark.parametrize("finished", [True, False])
def test_a_wrong_length_of_a_chunk_is_set_right(text_bag: Path, place: int, finished: bool) -> None:
    at = place_of(text_bag, mcap.CHUNK)
    if not finished:
        without_index(text_bag)
    overwrite(text_bag, at + place + 7, b"\x52")
    assert main([str(text_bag)]) == 0
    assert_valid(text_bag)
    assert len(list(Bag(text_bag).raw())) == 35


@pytest.mark.parametrize("opcode", [mcap.CHANNEL, mcap.STATISTICS, mcap.CHUNK_INDEX])
@pytest.mark.parametrize("change", [b"\0" * 60, b"\xff", b"\x01"])
def test_a_damaged_summary_is_written_anew(
    whole: Path, opcode: int, change: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    overwrite(whole, place_of(whole, opcode, -1) + 13, change)
    before = whole.read_bytes()
    assert main([str(whole)]) == 0
    assert_valid(whole)
    assert parts(Bag(whole).raw()) == parts(run_messages())
    assert whole.with_name(f"{whole.name}.old").read_bytes() == before
    assert "lost" not in capsys.readouterr().out
    again = whole.read_bytes()
    assert main([str(whole)]) == 0
    assert whole.read_bytes() == again


@pytest.mark.parametrize("junk", [b"\x07", b"\xff" * 30, bytes(10)])
def test_an_end_without_a_summary_is_set_right_too(whole: Path, junk: bytes) -> None:
    end = place_of(whole, mcap.DATA_END)
    data = whole.read_bytes()[: end + 13] + junk + mcap.footer(0, 0)
    whole.write_bytes(data)
    assert main([str(whole)]) == 0
    assert_valid(whole)
    assert parts(Bag(whole).raw()) == parts(run_messages())
    assert whole.with_name(f"{whole.name}.old").read_bytes() == data


@pytest.mark.parametrize("topic", ["/vla/instruction", "/elsewhere"])
@pytest.mark.parametrize("finished", [True, False])
def test_a_lost_type_costs_no_message(
    topic: str, finished: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a run's topics it is known, and the summary of a finished file has it."""
    path = plain_bag(tmp_path / "a.mcap", topic)
    begin, end = place_of(path, mcap.SCHEMA), place_of(path, mcap.CHANNEL)
    if not finished:
        without_index(path)
    hole(path, begin, end)
    if topic == INSTRUCTION:
        assert [message.type for message in Bag(path).raw()] == ["std_msgs/msg/String"] * 5
    assert main([str(path)]) == 0
    assert_valid(path)
    assert "5 whole messages" in (said := capsys.readouterr().out)
    assert (f"the type of {topic} is lost" in said) != finished
    assert ("taken for std_msgs/msg/String" in said) == (topic == INSTRUCTION and not finished)


@pytest.mark.parametrize("profile", [b"rOs2", b"r\0s2", b"\xff\xfe\xfd\xfc"])
def test_a_damaged_profile_is_no_other_system(whole: Path, profile: bytes) -> None:
    overwrite(whole, 8 + 9 + 4, profile)
    assert parts(Bag(whole).raw()) == parts(run_messages())
    assert main([str(whole)]) == 0


def test_what_has_no_time_of_its_chunk_is_no_message(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hole that takes a message's times leaves it a message, of 1970."""
    begin = messages_by_place(whole)[0][0]
    hole(whole, begin + 9 + 6, begin + 9 + 22)
    without_index(whole)
    expected = len(run_messages()) - 1
    assert len(list(Bag(whole).raw())) == expected
    assert main([str(whole)]) == 0
    assert_valid(whole)
    assert len(list(Bag(whole).raw())) == expected
    said = capsys.readouterr().out
    assert f"{expected} whole messages" in said
    assert "the chunk at byte" in said


def test_a_wrong_size_of_a_chunk_is_set_right(whole: Path) -> None:
    at = chunk_heads(whole)[0][0]
    overwrite(whole, at + 9 + 16, b"\x01\x02")  # of its records once they are decompressed
    assert main([str(whole)]) == 0
    assert_valid(whole)
    begin, inner, end = chunk_heads(whole)[0]
    assert struct.unpack_from("<Q", whole.read_bytes(), begin + 25)[0] == end - inner
    assert parts(Bag(whole).raw()) == parts(run_messages())


def test_wrong_times_of_a_chunk_cost_nothing(whole: Path) -> None:
    at = chunk_heads(whole)[0][0]
    without_index(whole)
    overwrite(whole, at + 9, struct.pack("<QQ", 5, 7))
    assert parts(Bag(whole).raw()) == parts(run_messages())
    assert main([str(whole)]) == 0
    assert_valid(whole)
    assert parts(Bag(whole).raw()) == parts(run_messages())


def test_messages_of_a_lost_topic_are_counted_in_chunks_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = plain_bag(tmp_path / "a.mcap", INSTRUCTION)
    at = place_of(path, mcap.CHANNEL)
    without_index(path)
    overwrite(path, at + 9, b"\x07")  # the topic has another number now
    assert main([str(path)]) == 0
    assert "lost on channel 1: 5 messages, since of which topic" in capsys.readouterr().out


def test_what_was_cut_off_is_told_beside_damage(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *_, last = messages_by_place(whole)
    hole(whole, first[0], first[0] + 20)
    with whole.open("r+b") as file:
        file.truncate(last[1] - 3)
    assert main([str(whole)]) == 0
    assert "bytes were cut off" in capsys.readouterr().out
    assert_valid(whole)

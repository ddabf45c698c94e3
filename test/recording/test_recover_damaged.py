"""Damaged bags are recovered: what is whole comes out, what is lost is told, nothing is deleted."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path

import pytest
import yaml
from bags import bag, cut_off, file_of, parts, run_messages
from damaged_mcap import CASES, chunk_heads, hole, messages_by_place, spared, without_index
from rosbags.rosbag2 import Reader

from vla_inference_ros.recording import mcap_file
from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.mcap_summary import read_summary
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.recover_bag import recover_bag

SEED, HOLES = 11, 40


@pytest.fixture
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copy(CASES / f"{request.param}.mcap", tmp_path))


def chunks_of(path: Path) -> list[mcap.ChunkIndex]:
    """Of a whole file."""
    with path.open("rb") as file:
        summary = read_summary(file, path.stat().st_size)
    assert summary
    return summary.chunks


def texts(path: Path) -> list[str]:
    """The strings in a bag of them, as another reader finds them."""
    with Reader(path) as reader:
        return [bytes(data)[8:].rstrip(b"\0").decode() for _, _, data in reader.messages()]


@pytest.mark.parametrize("case", ["zeros_in_middle_unfinished"], indirect=True)
def test_what_stands_behind_damage_is_kept(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = case.read_bytes()
    assert main([str(case)]) == 0
    assert texts(case) == [f"m{number}" for number in range(40) if not 10 <= number < 15]
    kept = case.with_name(f"{case.name}.old")
    assert kept.read_bytes() == before
    head, file, *losses = capsys.readouterr().out.splitlines()
    assert head == f"{case}:"
    assert file == (
        f"  {case.name}: 35 whole messages, written anew; the file as it was is kept as {kept.name}"
    )
    assert losses == [
        "    bytes 655 to 919 are damaged",
        "    what else was in the damaged parts the file does not tell",
    ]
    again = case.read_bytes()
    assert main([str(case)]) == 0  # which is complete now
    assert case.read_bytes() == again


@pytest.mark.parametrize("case", ["zstd_bad_chunk_finished"], indirect=True)
def test_a_bad_chunk_costs_itself_alone(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = case.read_bytes()
    assert main([str(case)]) == 0
    assert texts(case) == [f"m{number}" for number in range(40) if not 10 <= number < 15]
    assert case.with_name(f"{case.name}.old").read_bytes() == before
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "    the chunk at byte 430 is damaged",
        "    lost of /vla/instruction: 5 messages",
    ]
    found = Bag(case)
    assert len(list(found.raw())) == 35
    assert not found.odd.lines()


@pytest.mark.parametrize("case", ["one_chunk_not_indexed"], indirect=True)
def test_a_summary_that_leaves_chunks_out_is_written_anew(case: Path) -> None:
    before = case.read_bytes()
    assert main([str(case)]) == 0
    assert texts(case) == [f"m{number}" for number in range(6)]
    assert case.with_name(f"{case.name}.old").read_bytes() == before


@pytest.mark.parametrize("case", ["chunks_noindex_nostat", "unchunked_nostat"], indirect=True)
def test_a_complete_file_with_little_of_a_summary_is_left_as_it_is(case: Path) -> None:
    before = case.read_bytes()
    assert main([str(case)]) == 0
    assert case.read_bytes() == before
    assert list(case.parent.iterdir()) == [case]


@pytest.mark.parametrize("finished", [True, False])
def test_a_hole_anywhere_costs_what_is_in_it_alone(tmp_path: Path, finished: bool) -> None:
    whole = bag(tmp_path / "whole", run_messages())
    places, heads = messages_by_place(file_of(whole)), chunk_heads(file_of(whole))
    chance = random.Random(SEED)
    rewritten = 0
    for number in range(HOLES):
        folder = tmp_path / f"bag{number}"
        shutil.copytree(whole, folder)
        path = file_of(folder)
        if not finished:
            without_index(path)
        begin = chance.randrange(places[10][0], places[-12][1])
        end = begin + chance.choice((1, 30, 500, 4096))
        hole(path, begin, end)
        damaged = path.read_bytes()
        recover_bag(folder)
        left = {message[2] for message in spared(places, heads, begin, end)}
        with Reader(folder) as reader:
            found = [bytes(data) for _, _, data in reader.messages()]
            assert reader.message_count == len(found)
        assert left <= set(found)
        old = path.with_name(f"{path.name}.old")
        rewritten += old.exists()
        if old.exists():
            assert old.read_bytes() == damaged
        again = Bag(folder)
        assert again.complete
        assert len(list(again.raw())) == len(found)
        assert not again.odd.lines()
    assert rewritten > HOLES * 3 // 4


def test_metadata_is_made_anew_for_what_is_left(tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages())
    path = file_of(folder)
    places = messages_by_place(path)
    hole(path, places[40][0], places[41][0] + 20)
    lines = recover_bag(folder)
    assert "  lost of /robot/state: 1 messages" not in lines
    assert sum("  lost of /" in line for line in lines) == 2
    assert lines[-1] == (
        "metadata.yaml: of what the files held before, kept as metadata.yaml.old, made anew"
    )
    content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    assert content["rosbag2_bagfile_information"]["message_count"] == len(places) - 2


@pytest.mark.parametrize("case", ["zstd_bad_chunk_finished"], indirect=True)
def test_whole_chunks_are_kept_as_they_were_compressed(case: Path) -> None:
    before, old = case.read_bytes(), chunks_of(case)
    recover_bag(case)
    after, new = case.read_bytes(), chunks_of(case)
    assert [each.compression for each in new] == ["zstd"] * 7
    kept = [each for each in old if each.offset != 430]
    for one, other in zip(kept, new, strict=True):
        assert (one.size, one.start, one.end) == (other.size, other.start, other.end)
        chunk = before[one.offset : one.offset + one.size]
        assert after[other.offset : other.offset + other.size] == chunk


def test_what_was_cut_off_is_kept_and_its_whole_messages_come_out(tmp_path: Path) -> None:
    """The last chunk was being written."""
    folder = bag(tmp_path / "bag", run_messages())
    path = file_of(folder)
    places = messages_by_place(path)
    last = chunks_of(path)[-1].offset
    cut = places[-6][1] + 5
    assert last < places[-6][0]
    before = path.read_bytes()[:cut]
    (line, _) = recover_bag(cut_off(folder, cut))
    assert line == (
        f"bag_0.mcap: {len(places) - 5} messages, {cut - last} bytes that were cut off are kept as "
        "bag_0.mcap.cut, finished now"
    )
    assert path.read_bytes()[:last] + (folder / "bag_0.mcap.cut").read_bytes() == before
    assert parts(Bag(folder).raw()) == parts(run_messages()[:-5])
    with Reader(folder) as reader:
        assert reader.message_count == len(places) - 5


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bag(tmp_path / "bag", run_messages())
    places = messages_by_place(file_of(whole))
    cut = bag(tmp_path / "cut", run_messages())
    cut_off(cut, places[-6][1] + 5)
    hole(file_of(whole), places[40][0], places[41][0])

    def full(_: int, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for folder in (whole, cut):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with monkeypatch.context() as patch:
            patch.setattr(mcap_file, "write_all", full)
            assert main([str(folder)]) == 1
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        assert main([str(folder)]) == 0


def test_a_chunk_with_a_wrong_checksum_is_no_obstacle_to_others(tmp_path: Path) -> None:
    """As readers are that refuse it, with all that stands behind it."""
    folder = bag(tmp_path / "bag", run_messages())
    path = file_of(folder)
    begin, end, _ = messages_by_place(path)[9]
    data = bytearray(path.read_bytes())
    data[(begin + end) // 2] ^= 1
    path.write_bytes(data)
    lines = recover_bag(folder)
    assert (folder / "bag_0.mcap.old").read_bytes() == data
    told = [line for line in lines if "their chunk's checksum was wrong" in line]
    assert len(told) == 6
    assert told[0].startswith("  kept of /camera/frame_info: 6 messages, of which some may be")
    with Reader(folder) as reader:
        assert len(list(reader.messages())) == len(run_messages())


def test_attachments_and_metadata_are_kept(tmp_path: Path) -> None:
    path = Path(shutil.copy(CASES / "zeros_in_middle_unfinished.mcap", tmp_path))
    name = mcap.string("notes")
    attachment = mcap.record(
        mcap.ATTACHMENT, bytes(16), name, mcap.string("text/plain"), (3).to_bytes(8, "little"),
        b"abc", bytes(4),
    )  # fmt: skip
    metadata = mcap.record(mcap.METADATA, name, mcap.mapping({"a": "b"}))
    path.write_bytes(path.read_bytes() + attachment + metadata)
    recover_bag(path)
    data = path.read_bytes()
    assert attachment in data
    assert metadata in data
    for record, kind in ((attachment, mcap.ATTACHMENT_INDEX), (metadata, mcap.METADATA_INDEX)):
        place = data.index(record).to_bytes(8, "little") + len(record).to_bytes(8, "little")
        at = data.rindex(place)
        assert data[at - mcap.RECORD.size] == kind


def test_nothing_is_made_of_what_holds_no_message(tmp_path: Path) -> None:
    for data in (b"", b"\0" * 5000, b"text" * 2000, mcap.MAGIC + bytes(3000)):
        path = tmp_path / "a.mcap"
        path.write_bytes(data)
        assert main([str(path)]) == 1
        assert path.read_bytes() == data
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("bad", [b"\0\0\0", b"[[[", b"x: "])
def test_a_damaged_quality_of_service_is_none(tmp_path: Path, bad: bytes) -> None:
    """It is kept in the channel as text."""
    folder = bag(tmp_path / "bag", run_messages(3))
    path = file_of(folder)
    data = path.read_bytes()
    at = data.index(b"- history")
    damaged = data[:at] + bad + data[at + len(bad) :]
    without_index(path)
    path.write_bytes(damaged[: path.stat().st_size])
    (folder / "metadata.yaml").unlink()
    recover_bag(folder)
    assert len(list(Bag(folder).raw())) == 18
    content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))
    assert content["rosbag2_bagfile_information"]["message_count"] == 18


@pytest.mark.parametrize("case", ["zstd_bad_chunk_finished"], indirect=True)
@pytest.mark.parametrize("place", [1, 1 + 8 + 28 + 4 + 4])
def test_one_wrong_length_of_a_chunk_costs_nothing(case: Path, place: int) -> None:
    """Its length stands in it twice: as a record's, and as that of what was compressed."""
    at = 17 + 15  # of the first chunk
    data = bytearray(case.read_bytes())
    assert data[at] == mcap.CHUNK
    data[at + place + 7] = 0x52
    case.write_bytes(data)
    expected = [f"m{number}" for number in range(40) if not 10 <= number < 15]
    assert len(list(Bag(case).raw())) == 35
    recover_bag(case)
    assert texts(case) == expected

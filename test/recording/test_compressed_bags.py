"""Bags that rosbag2 has compressed itself: by file or by message, whole or killed."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from bags import (
    COUNT,
    assert_holds,
    bag,
    cut_off,
    file_of,
    foreign_bag,
    log_time,
    parts,
    random_bytes,
    run_messages,
)
from damaged_mcap import without_index
from recorded import TOPIC
from rosbags.rosbag2 import CompressionMode, Reader, StoragePlugin

from vla_inference_ros.recording import compressed
from vla_inference_ros.recording.bag import Bag, RawMessage, is_bag
from vla_inference_ros.recording.bag_metadata import (
    FileSummary,
    TopicSummary,
    information,
    write_metadata,
)
from vla_inference_ros.recording.compressed import Decompressed, compress
from vla_inference_ros.recording.mcap_chunks import ZSTD_MAGIC
from vla_inference_ros.recording.mcap_scan import McapScan
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.recover_bag import recover_bag
from vla_inference_ros.recording.topics import TOPICS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILES = 3
LARGE = 30  # messages


def by_file(folder: Path) -> Path:
    """A bag of some files, each compressed, as ros2 bag record --compression-mode file makes it."""
    folder.mkdir()
    messages, files = list(run_messages()), []
    for number in range(FILES):
        share = messages[number * len(messages) // FILES : (number + 1) * len(messages) // FILES]
        plain = file_of(bag(folder.parent / f"{folder.name}_{number}", share))
        name = f"bag_{number}.mcap.zstd"
        compress(plain, folder / name)
        topics = [
            TopicSummary(
                channel.topic,
                TOPICS[channel.topic],
                channel.metadata["offered_qos_profiles"],
                channel.metadata["topic_type_hash"],
                sum(each.topic == channel.topic for each in share),
            )
            for channel in McapScan(plain).channels.values()
        ]
        files.append(FileSummary(name, share[0].stamp_ns, share[-1].stamp_ns, topics))
    write_metadata(folder, information("mcap", files, "FILE"))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def decompress(path: Path) -> bytes:
    return zstd.decompress(path.read_bytes())


def assert_whole(folder: Path, count: int = 6 * COUNT) -> None:
    """For other readers, too."""
    assert parts(Bag(folder).raw()) == parts(run_messages()[:count])
    assert Bag(folder).complete
    with Reader(folder) as reader:
        assert [data for _, _, data in reader.messages()] == [
            each.data for each in run_messages()[:count]
        ]
        assert reader.message_count == count


@pytest.mark.parametrize("metadata", [True, False])
def test_files_that_are_compressed_are_read(tmp_path: Path, metadata: bool) -> None:
    folder = by_file(tmp_path / "bag")
    if not metadata:
        (folder / "metadata.yaml").unlink()
    assert_holds(folder)
    assert isinstance(open_recording(folder), Bag)
    assert Bag(folder).complete


def test_one_file_that_is_compressed_is_read(tmp_path: Path) -> None:
    path = by_file(tmp_path / "bag") / "bag_1.mcap.zstd"
    assert is_bag(path)
    assert isinstance(open_recording(path), Bag)
    assert parts(Bag(path).raw()) == parts(run_messages()[40:80])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordingError, match=r"none\.mcap\.zstd cannot be read: .*No such file"):
        Bag(path.with_name("none.mcap.zstd"))


@pytest.mark.parametrize("size", [None, 3000])
def test_what_a_player_leaves_changes_nothing(tmp_path: Path, size: int | None) -> None:
    """It decompresses file by file, beside what it plays; when it is killed, in part."""
    folder = by_file(tmp_path / "bag")
    left = decompress(folder / "bag_0.mcap.zstd")[:size]
    (folder / "bag_0.mcap").write_bytes(left)
    before = contents(folder)
    assert main([str(folder)]) == 0
    assert contents(folder) == before
    assert_whole(folder)
    (folder / "metadata.yaml").unlink()
    assert parts(Bag(folder).raw()) == parts(run_messages())


def test_an_intact_bag_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = by_file(tmp_path / "bag")
    before = contents(folder)
    assert main([str(folder), str(folder / "bag_2.mcap.zstd")]) == 0
    assert contents(folder) == before
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}:",
        *(f"  bag_{number}.mcap.zstd: 40 messages" for number in range(FILES)),
        f"{folder}/bag_2.mcap.zstd:",
        "  bag_2.mcap.zstd: 40 messages",
    ]


def test_a_recorder_that_was_killed_leaves_its_last_file_uncompressed(tmp_path: Path) -> None:
    folder = by_file(tmp_path / "bag")
    last = folder / "bag_2.mcap"
    last.write_bytes(decompress(folder / "bag_2.mcap.zstd"))
    without_index(last)
    (folder / "bag_2.mcap.zstd").unlink()
    (folder / "metadata.yaml").unlink()
    assert parts(Bag(folder).raw()) == parts(run_messages())
    lines = recover_bag(folder)
    assert "bag_2.mcap: 40 messages, finished now" in lines
    assert "bag_2.mcap.zstd: compressed now, as the others of the bag are" in lines
    assert lines[-1] == "metadata.yaml: missing, made anew"
    assert_whole(folder)
    content = yaml.safe_load((folder / "metadata.yaml").read_text(encoding="utf-8"))[
        "rosbag2_bagfile_information"
    ]
    assert (content["compression_mode"], content["compression_format"]) == ("FILE", "zstd")
    before = contents(folder)
    recover_bag(folder)
    assert contents(folder) == before


def test_a_recorder_that_was_killed_while_it_compressed(tmp_path: Path) -> None:
    folder = by_file(tmp_path / "bag")
    half = folder / "bag_1.mcap.zstd"
    (folder / "bag_1.mcap").write_bytes(decompress(half))
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (folder / "metadata.yaml").unlink()
    cut = half.read_bytes()
    assert parts(Bag(folder).raw()) == parts(run_messages())
    assert "bag_1.mcap.zstd: cut off, kept as bag_1.mcap.zstd.old" in recover_bag(folder)
    assert (folder / "bag_1.mcap.zstd.old").read_bytes() == cut
    assert_whole(folder)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A compressed file of messages that do not shrink, so that a part of it is worth something."""
    messages = [
        RawMessage(TOPIC, TOPICS[TOPIC], log_time(number), random_bytes(30_000, number))
        for number in range(LARGE)
    ]
    folder = bag(tmp_path / "bag", messages)
    path = folder / "bag_0.mcap.zstd"
    compress(file_of(folder), path)
    file_of(folder).unlink()
    (folder / "metadata.yaml").unlink()
    return path


def test_a_compressed_file_that_was_cut_off_gives_what_it_has(large: Path) -> None:
    size = large.stat().st_size
    before = large.read_bytes()[: size // 2]
    large.write_bytes(before)
    cut = Bag(large.parent)
    assert not cut.complete
    found = parts(cut.raw())
    assert LARGE // 3 < len(found) < LARGE
    lines = recover_bag(large.parent)
    assert lines == [
        f"bag_0.mcap.zstd: {len(found)} whole messages, written anew; the file as it was is "
        "kept as bag_0.mcap.zstd.old",
        "  it was cut off",
        "metadata.yaml: missing, made anew",
    ]
    names = ["bag_0.mcap.zstd", "bag_0.mcap.zstd.old", "metadata.yaml"]
    assert sorted(contents(large.parent)) == names
    assert large.with_name("bag_0.mcap.zstd.old").read_bytes() == before
    assert Bag(large.parent).complete
    with Reader(large.parent) as reader:
        assert [data for _, _, data in reader.messages()] == [each[-1] for each in found]


def test_a_compressed_file_that_is_damaged_is_told(large: Path) -> None:
    data = bytearray(large.read_bytes())
    middle = data.index(random_bytes(30_000, LARGE // 2)[1000:1100])
    data[middle : middle + 200_000] = bytes(200_000)
    large.write_bytes(data)
    found = Bag(large)
    count = len(list(found.raw()))
    assert LARGE // 3 < count < LARGE
    assert any("cannot be decompressed" in line for line in found.odd.lines())
    recover_bag(large)
    assert large.with_name("bag_0.mcap.zstd.old").read_bytes() == data
    again = Bag(large)
    assert len(list(again.raw())) == count
    assert not again.odd.lines()


@pytest.mark.parametrize("storage", StoragePlugin)
@pytest.mark.parametrize("metadata", ["none", "without the compression"])
def test_messages_that_are_compressed_tell_so_themselves(
    tmp_path: Path, storage: StoragePlugin, metadata: str
) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), storage, CompressionMode.MESSAGE)
    path = folder / "metadata.yaml"
    if metadata == "none":
        path.unlink()
    else:
        path.write_text(
            path.read_text(encoding="utf-8").lower().replace("compression_mode: message", "a: b"),
            encoding="utf-8",
        )
    assert_holds(folder)


def test_a_killed_bag_of_compressed_messages_is_completed(tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), compression=CompressionMode.MESSAGE)
    without_index(file_of(folder))
    (folder / "metadata.yaml").unlink()
    assert parts(Bag(folder).raw()) == parts(run_messages())
    recover_bag(folder)
    assert_whole(folder)
    metadata = folder / "metadata.yaml"
    content = yaml.safe_load(metadata.read_text(encoding="utf-8"))["rosbag2_bagfile_information"]
    assert (content["compression_mode"], content["compression_format"]) == ("MESSAGE", "zstd")
    good = metadata.read_text(encoding="utf-8")
    metadata.write_text(
        good.replace("compression_mode: MESSAGE", "compression_mode: ''"), encoding="utf-8"
    )
    assert "without how its messages are compressed" in recover_bag(folder)[-1]
    assert metadata.read_text(encoding="utf-8") == good


def test_a_compressed_message_that_is_damaged_costs_itself(tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(), compression=CompressionMode.MESSAGE)
    path = file_of(folder)
    data = path.read_bytes()
    at = data.rindex(ZSTD_MAGIC)
    path.write_bytes(data[: at + 4] + b"\xff" * 6 + data[at + 10 :])
    found = Bag(folder)
    assert len(list(found.raw())) == 6 * COUNT - 1
    (line,) = found.odd.lines()
    assert "1 of /vla/features, damaged in the file" in line


def test_where_there_is_no_room_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = by_file(tmp_path / "bag")
    monkeypatch.setattr(compressed, "_RESERVE", 1 << 60)
    with pytest.raises(RecordingError, match=r"no room in .* the variable TMPDIR names another"):
        Bag(folder)
    assert main([str(folder)]) == 1


def test_files_of_several_frames_and_cut_ones(tmp_path: Path) -> None:
    """As zstd itself makes them of pieces; each cut gives a beginning."""
    text = random.Random(1).randbytes(300_000) + bytes(9 << 20)
    whole = zstd.compress(text[:1000]) + zstd.compress(text[1000:])
    path = tmp_path / "a.zstd"
    for size in (0, 3, len(whole) // 2, len(whole) - 1, len(whole)):
        path.write_bytes(whole[:size])
        found = Decompressed(path)
        assert text.startswith(found.path.read_bytes())
        assert bool(found.trouble) == (size < len(whole))
    assert found.path.read_bytes() == text
    path.write_bytes(whole + b"more")
    assert Decompressed(path).is_damaged


def test_a_cut_off_bag_beside_compressed_ones_of_others_is_none_of_theirs(tmp_path: Path) -> None:
    """Of uncompressed files nothing is compressed."""
    folder = bag(tmp_path / "bag", run_messages())
    shutil.rmtree(by_file(tmp_path / "other"))
    recover_bag(cut_off(folder, file_of(folder).stat().st_size - 1))
    assert sorted(contents(folder)) == ["bag_0.mcap", "metadata.yaml"]

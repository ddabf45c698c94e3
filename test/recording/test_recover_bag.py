"""Bags whose recorder was killed, completed for tools that are not ours."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
import yaml
from bags import COUNT, bag, cut_off, file_of, foreign_bag, run_messages, write
from rosbags.rosbag2 import CompressionMode, Reader, StoragePlugin

from vla_inference_ros.recording import mcap_file
from vla_inference_ros.recording import mcap_format as mcap
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.in_use import InUseError
from vla_inference_ros.recording.mcap_summary import read_summary
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.recover_bag import recover_bag


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return bag(tmp_path / "bag", run_messages())


def summary_at(path: Path) -> int:
    """Where a whole file's summary starts."""
    start = mcap.summary_start(path.read_bytes()[-mcap.FOOTER_SIZE :])
    assert start
    return start


def chunks_of(path: Path) -> list[mcap.ChunkIndex]:
    """Of a whole file."""
    with path.open("rb") as file:
        summary = read_summary(file, path.stat().st_size)
        assert summary
        return summary.chunks


def assert_complete(folder: Path, count: int) -> None:
    """Whole for any reader, with the first so many messages."""
    expected = [(each.topic, each.stamp_ns, each.data) for each in run_messages()[:count]]
    for path in (folder, file_of(folder)):
        with Reader(path) as reader:
            assert [(c.topic, t, data) for c, t, data in reader.messages()] == expected
            assert reader.message_count == count
            assert {c.msgcount for c in reader.connections} <= {count // 6, count // 6 + 1}
    assert Bag(folder).complete


@pytest.mark.parametrize(
    ("ours", "compression"),
    [
        (True, CompressionMode.NONE),
        (False, CompressionMode.NONE),
        (False, CompressionMode.STORAGE),
    ],
)
def test_a_bag_that_was_cut_off_anywhere_is_completed(
    ours: bool, compression: CompressionMode, tmp_path: Path
) -> None:
    for number in range(12):
        if ours:
            folder = bag(tmp_path / f"bag{number}", run_messages())
        else:
            folder = foreign_bag(tmp_path / f"bag{number}", run_messages(), compression=compression)
        size = file_of(folder).stat().st_size
        before = Bag(cut_off(folder, size - 1 - number * size // (30 if ours else 1200)))
        kept = len(list(before.raw()))
        assert main([str(folder)]) == 0
        assert_complete(folder, kept)


@pytest.mark.parametrize("lost", [1, 40, 200])
def test_a_chunk_whose_index_was_cut_off_is_kept(lost: int, whole: Path) -> None:
    last = chunks_of(file_of(whole))[-1]
    cut_off(whole, last.offset + last.size + last.index_size - lost)
    recover_bag(whole)
    assert_complete(whole, 6 * COUNT)
    assert chunks_of(file_of(whole))[-1] == last


def test_a_bag_that_was_cut_off_right_behind_a_chunk(whole: Path) -> None:
    data = file_of(whole).read_bytes()
    recover_bag(cut_off(whole, summary_at(file_of(whole))))
    assert_complete(whole, 6 * COUNT)
    assert len(file_of(whole).read_bytes()) >= len(data)


def test_what_was_done_is_said(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = chunks_of(file_of(whole))[-1]
    lost = 5
    cut_off(whole, end.offset + end.size + end.index_size + lost)
    assert main([str(whole)]) == 0
    head, file, metadata = capsys.readouterr().out.splitlines()
    assert head == f"{whole}:"
    assert file == f"  bag_0.mcap: 120 messages, {lost} bytes were cut off, finished now"
    assert metadata == "  metadata.yaml: missing, made anew"


def test_a_complete_bag_is_left_as_it_is(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in whole.iterdir()}
    assert main([str(whole)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{whole}:", "  bag_0.mcap: 120 messages"]
    assert {path: path.read_bytes() for path in whole.iterdir()} == before


def test_a_file_is_completed_alone(whole: Path) -> None:
    path = file_of(whole)
    cut_off(whole, path.stat().st_size - 20)
    assert main([str(path)]) == 0
    assert list(whole.iterdir()) == [path]
    with Reader(path) as reader:
        assert reader.message_count == 6 * COUNT


def test_what_a_topic_was_offered_with_is_kept(tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages())
    metadata = folder / "metadata.yaml"
    before = yaml.safe_load(metadata.read_text(encoding="utf-8"))
    recover_bag(cut_off(folder, file_of(folder).stat().st_size - 1))
    assert yaml.safe_load(metadata.read_text(encoding="utf-8")) == before


def test_damaged_metadata_is_made_anew_and_kept(whole: Path) -> None:
    metadata = whole / "metadata.yaml"
    good = yaml.safe_load(metadata.read_text(encoding="utf-8"))
    damages = ("", "a: 1", metadata.read_text(encoding="utf-8").replace("bag_0.mcap", "bag_7.mcap"))
    for damage, old in zip(damages, ("old", "old2", "old3"), strict=True):
        metadata.write_text(damage, encoding="utf-8")
        said = recover_bag(whole)[-1]
        assert said == f"metadata.yaml: damaged, kept as metadata.yaml.{old}, made anew"
        assert yaml.safe_load(metadata.read_text(encoding="utf-8")) == good
        assert (whole / f"metadata.yaml.{old}").read_text(encoding="utf-8") == damage


def test_files_that_metadata_does_not_name_are_added(whole: Path, tmp_path: Path) -> None:
    file_of(bag(tmp_path / "other", run_messages(3))).rename(whole / "bag_1.mcap")
    assert "not of all files" in recover_bag(whole)[-1]
    with Reader(whole) as reader:
        assert reader.message_count == 6 * COUNT + 18
        assert {c.msgcount for c in reader.connections} == {COUNT + 3}


def test_what_cannot_be_completed_is_told(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = cut_off(bag(tmp_path / "empty", run_messages(1)), 0)
    (tmp_path / "sqlite").mkdir()
    (tmp_path / "sqlite" / "a.db3").touch()
    missing = tmp_path / "none.mcap"
    assert main([str(empty), str(tmp_path / "sqlite"), str(missing), str(whole)]) == 1
    output = capsys.readouterr()
    first, second, third = output.err.splitlines()
    assert first == f"vla-recover: {file_of(empty)} cannot be completed: the file is empty"
    assert "for a bag of .db3 files there is 'ros2 bag reindex'" in second
    assert "No such file" in third
    assert f"{whole}:" in output.out


def test_a_bag_that_is_still_written_is_left_alone(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    write(writer, run_messages())
    writer.flush()
    for path in (writer.folder, file_of(writer.folder)):
        with pytest.raises(InUseError, match="still being written: wait until its recorder has"):
            recover_bag(path)
    writer.close()
    assert_complete(writer.folder, 6 * COUNT)
    recover_bag(writer.folder)


def test_on_a_full_disk_it_can_be_tried_again(
    whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_off(whole, file_of(whole).stat().st_size - 1)

    def full(_: int, __: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mcap_file, "write_all", full)
        assert main([str(whole)]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(f"vla-recover: {whole} cannot be completed: .*No space left.*\\n", said)
    assert main([str(whole)]) == 0
    assert_complete(whole, 6 * COUNT)


def test_bags_of_sqlite_are_left_to_ros(tmp_path: Path) -> None:
    folder = foreign_bag(tmp_path / "bag", run_messages(2), StoragePlugin.SQLITE3)
    assert main([str(folder)]) == 1


def test_messages_outside_of_chunks_are_counted(tmp_path: Path) -> None:
    folder = bag(tmp_path / "bag", run_messages(1))
    path = file_of(folder)
    head = mcap.MESSAGE_HEAD.pack(1, 0, 2**62, 2**62)
    (chunk,) = chunks_of(path)
    chunks = path.read_bytes()[: chunk.offset + chunk.size + chunk.index_size]
    path.write_bytes(chunks + mcap.record(mcap.MESSAGE, head, run_messages(1)[0].data))
    (folder / "metadata.yaml").unlink()
    recover_bag(folder)
    with Reader(folder) as reader:
        assert reader.message_count == 7

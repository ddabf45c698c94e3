"""Bags of several files."""

from __future__ import annotations

from pathlib import Path

from bags import assert_holds, parts, run_messages, write
from rosbags.rosbag2 import Reader

from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.bag_writer import BagWriter

MOST = 160_000  # of a file [bytes]
BATCHES = 31  # messages between two flushes


def split_bag(folder: Path, most_bytes: float = MOST, most_seconds: float = 1e9) -> Path:
    """Of all that a run publishes, flushed now and then."""
    writer = BagWriter(folder, most_bytes, most_seconds)
    fill(writer)
    writer.close()
    return folder


def fill(writer: BagWriter) -> None:
    for number, each in enumerate(run_messages()):
        write(writer, [each])
        if number % BATCHES == BATCHES - 1:
            writer.flush()


def files_of(folder: Path) -> list[Path]:
    """In the order in which they were written."""
    return sorted(folder.glob("*.mcap"), key=lambda path: int(path.stem.rpartition("_")[2]))


def assert_whole(folder: Path) -> None:
    """For our readers and for others, all together and each file alone."""
    expected = parts(run_messages())
    assert parts(Bag(folder).raw()) == expected
    assert Bag(folder).complete
    assert_holds(folder)
    with Reader(folder) as reader:
        found = [(c.topic, c.msgtype, t, data) for c, t, data in reader.messages()]
        assert found == expected
    alone = [each for file in files_of(folder) for each in parts(Bag(file).raw())]
    assert alone == expected
    for file in files_of(folder):
        with Reader(file) as reader:
            assert reader.message_count == len(list(Bag(file).raw()))

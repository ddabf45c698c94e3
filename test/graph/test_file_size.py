"""A recorder whose files may grow no more goes on in others, and loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Listener, NodeProcess, failed_start
from recorded import Traffic
from rosbags.rosbag2 import Reader

from vla_inference_ros.recording.opening import open_recording

LIMIT = 9 << 19  # a node needs 4 MiB of shared memory, which are a file too [bytes]
SIZE = 1_000_000  # of a file that a parameter asks for [bytes]
LIMITED = ["bash", "-c", f'ulimit -f {LIMIT >> 10}; exec "$0" "$@"']
MOST = 5000  # chunks, before which the limit must have been reached
NAMES = ("recorder", "bag_recorder")
FILES = {"recorder": "sensor_data_*", "bag_recorder": "*.mcap"}
SPLIT_BY = {"recorder": "max_file_size", "bag_recorder": "max_bag_size"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by_system", [True, False], ids=["ulimit", "parameter"])
def test_all_is_recorded_in_more_files(
    name: str, by_system: bool, listener: Listener, tmp_path: Path
) -> None:
    most = LIMIT if by_system else SIZE
    parameters: dict[str, int] = {} if by_system else {SPLIT_BY[name]: SIZE}
    node = NodeProcess(
        name,
        {"output_dir": str(tmp_path), "reserve_mb": 0.0, **parameters},
        LIMITED if by_system else (),
    )
    traffic = Traffic(listener)
    try:
        node.wait_until_said("saving to")
        while len(list(tmp_path.glob(f"*/{FILES[name]}"))) < 2:
            for _ in range(60):  # which the recorder's queues hold, should it be held up
                traffic()
            listener.report(name, "results", lambda report: report.accepted >= traffic.count)
            assert traffic.count < MOST
    finally:
        status = node.stop()
    assert status == 0, node.lines
    (folder,) = tmp_path.iterdir()
    recording = open_recording(folder)
    assert [result["chunk_id"] for result in recording.results()] == [
        number + 1 for number in range(traffic.count)
    ]
    assert sum(1 for _ in recording.samples()) == traffic.count
    assert sum(1 for _ in recording.frames()) == traffic.count
    assert all(path.stat().st_size <= most for path in folder.glob(FILES[name]))
    assert not node.said("does not hold all that came")
    if name == "bag_recorder":
        with Reader(folder) as reader:
            counts = {c.topic: c.msgcount for c in reader.connections}
        assert counts["/vla/actions"] == traffic.count


def test_a_bag_goes_on_in_another_file_after_some_time(listener: Listener, tmp_path: Path) -> None:
    node = NodeProcess("bag_recorder", {"output_dir": str(tmp_path), "max_bag_duration": 1})
    traffic = Traffic(listener)
    try:
        node.wait_until_said("saving to")

        def has_gone_on() -> bool:
            return len(list(tmp_path.glob("*/*.mcap"))) > 2

        listener.spin_until(has_gone_on, repeat=traffic)
    finally:
        status = node.stop()
    assert status == 0
    (folder,) = tmp_path.iterdir()
    ids = [result["chunk_id"] for result in open_recording(folder).results()]
    assert ids == list(range(1, traffic.count + 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_size_that_nothing_fits_is_named(name: str, tmp_path: Path) -> None:
    line = failed_start(name, output_dir=str(tmp_path), **{SPLIT_BY[name]: 1000})
    assert f"parameter '{SPLIT_BY[name]}' is 1000 bytes" in line
    assert list(tmp_path.iterdir()) == []

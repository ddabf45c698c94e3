"""When ``ros2 bag`` is used, and how. Its options are those of Jazzy's and Kilted's verbs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from vla_inference_ros import graph, rosbag2
from vla_inference_ros.nodes import qos
from vla_inference_ros.recording.bag_writer import bag_name
from vla_inference_ros.recording.topics import IMAGES, INPUTS, TOPICS

START = 1_700_000_000.0
QOS, RECORD_QOS, STORAGE = (
    graph.share() / "config" / f"bag_{name}.yaml" for name in ("qos", "record_qos", "storage")
)


def index(folder: Path, *packages: str) -> Path:
    """A prefix whose ament index names some packages."""
    resources = folder / "share" / "ament_index" / "resource_index" / "packages"
    resources.mkdir(parents=True)
    for package in packages:
        (resources / package).touch()
    return folder


def options(command: list[str]) -> dict[str, list[str]]:
    """The values of each option."""
    found: dict[str, list[str]] = {}
    name = ""
    for word in command:
        if word.startswith("--"):
            assert word not in found
            name = word
        found.setdefault(name, []).extend([word] if word != name else [])
    return found


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (("ros2bag", "rosbag2_storage_mcap", "ros2service"), True),
        (("ros2bag", "rosbag2_storage_mcap"), False),
        (("ros2bag", "ros2service"), False),
        (("rosbag2_storage_mcap", "ros2service"), False),
        ((), False),
    ],
)
def test_it_is_there_where_the_command_and_mcap_are(
    packages: tuple[str, ...], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(index(tmp_path, *packages)))
    assert rosbag2.is_installed() is expected


def test_without_any_index_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/none")
    assert not rosbag2.is_installed()


def test_it_plays_bags_that_have_been_finished(tmp_path: Path) -> None:
    assert not rosbag2.can_play(tmp_path)
    (tmp_path / "bag_0.mcap").touch()
    assert not rosbag2.can_play(tmp_path)  # it would have to be reindexed
    assert not rosbag2.can_play(tmp_path / "bag_0.mcap")
    (tmp_path / "metadata.yaml").touch()
    assert rosbag2.can_play(tmp_path)


@pytest.mark.parametrize("use_sim_time", [False, True])
def test_all_topics_of_a_run_are_recorded(use_sim_time: bool, tmp_path: Path) -> None:
    command = rosbag2.record(tmp_path, START, use_sim_time)
    assert command[:3] == ["ros2", "bag", "record"]
    found = options(command[3:])
    expected = {
        "--storage": ["mcap"],
        "--output": [str(tmp_path / bag_name(START))],
        "--qos-profile-overrides-path": [str(RECORD_QOS)],
        "--storage-config-file": [str(STORAGE)],
        "--max-cache-size": [str(128 * 1024 * 1024)],
        "--max-bag-size": ["4000000000"],
        "--max-bag-duration": ["0"],
        "--include-unpublished-topics": [],
        "--disable-keyboard-controls": [],
        "--topics": list(TOPICS),
    }
    assert found == expected | ({"--use-sim-time": []} if use_sim_time else {})
    assert command[-len(TOPICS) - 1] == "--topics"  # it takes all that follows


def test_the_largest_file_leaves_room_for_what_waits(tmp_path: Path) -> None:
    """It looks at what is written; up to twice its cache comes on top."""
    found = options(rosbag2.record(tmp_path, START, False))
    (size,), (cache,) = found["--max-bag-size"], found["--max-cache-size"]
    assert int(size) + 2 * int(cache) < 1 << 32


def test_a_bag_is_split_as_the_own_recorder_splits_it(tmp_path: Path) -> None:
    found = options(rosbag2.record(tmp_path, START, False, 5_000_000, 60))
    assert (found["--max-bag-size"], found["--max-bag-duration"]) == (["5000000"], ["60"])


def test_a_bag_is_named_after_its_start_and_takes_the_next_free_name(tmp_path: Path) -> None:
    now = time.time()
    (output,) = options(rosbag2.record(tmp_path, now, False))["--output"]
    assert Path(output) == tmp_path / time.strftime("bag_%Y%m%d_%H%M%S", time.gmtime(now))
    Path(output).mkdir()
    assert options(rosbag2.record(tmp_path, now, False))["--output"] == [f"{output}_2"]


def test_only_inputs_are_played_and_only_from_when_all_are_ready(tmp_path: Path) -> None:
    command = rosbag2.play(tmp_path, 2.0)
    assert command[:4] == ["ros2", "bag", "play", str(tmp_path)]
    assert options(command[4:]) == {
        "--clock": ["100"],
        "--rate": ["2.0"],
        "--qos-profile-overrides-path": [str(QOS)],
        "--wait-for-all-acked": ["10000"],
        "--start-paused": [],
        "--disable-keyboard-controls": [],
        "--topics": list(INPUTS),
    }


def test_the_last_messages_are_waited_for_over_more_than_one_heartbeat(tmp_path: Path) -> None:
    (patience,) = options(rosbag2.play(tmp_path, 1.0))["--wait-for-all-acked"]
    heartbeat = 3.0  # of Fast DDS, whose profile is not ours there [s]
    assert int(patience) / 1000 > 2 * heartbeat


# --- config/bag_*.yaml


def overrides(file: Path = QOS) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def as_ros2_bag_reads_it(profile: dict[str, Any]) -> QoSProfile:
    """Names that it does not know are an error there too."""
    return QoSProfile(
        history=HistoryPolicy.get_from_short_key(profile["history"]),
        reliability=ReliabilityPolicy.get_from_short_key(profile["reliability"]),
        durability=DurabilityPolicy.get_from_short_key(profile["durability"]),
        depth=profile["depth"],
    )


def test_the_topics_are_heard_and_played_as_by_the_own_nodes() -> None:
    for file in (QOS, RECORD_QOS):
        assert list(overrides(file)) == list(TOPICS)
        for topic, profile in overrides(file).items():
            assert set(profile) == {"history", "reliability", "durability", "depth"}
            live = file == RECORD_QOS and topic == "/vla/instruction"
            expected = qos.recorded_live(topic) if live else qos.recorded(topic)
            assert as_ros2_bag_reads_it(profile) == expected, topic


@pytest.mark.parametrize("publisher", [QoSProfile(depth=10), qos.INSTRUCTION])
def test_a_prompt_is_recorded_however_it_is_published(publisher: QoSProfile) -> None:
    reader = as_ros2_bag_reads_it(overrides(RECORD_QOS)["/vla/instruction"])
    compatible, reason = qos_check_compatible(publisher, reader)
    assert compatible is not QoSCompatibility.ERROR, reason


def test_what_is_played_reaches_the_nodes() -> None:
    readers = {
        **dict.fromkeys(IMAGES.values(), qos.newest_image("reliable")),
        "/sensor/samples": qos.SENSOR,
        "/robot/state": qos.newest(),
        "/vla/instruction": qos.INSTRUCTION,
    }
    for topic, reader in readers.items():
        writer = as_ros2_bag_reads_it(overrides()[topic])
        compatible, reason = qos_check_compatible(writer, reader)
        assert compatible is not QoSCompatibility.ERROR, (topic, reason)


def test_a_kill_loses_no_more_than_a_chunk() -> None:
    storage = yaml.safe_load(STORAGE.read_text(encoding="utf-8"))
    assert storage == {
        "noChunking": False,  # a file without chunks has no index, and cannot be read by topic
        "chunkSize": 786_432,
        "compression": "None",
        "noChunkCRC": False,
    }
    sensor = 2.7e6  # [bytes/s] alone, without any camera
    assert storage["chunkSize"] / sensor < 0.5

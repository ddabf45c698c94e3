"""The command lines of ``ros2 bag``, where it is installed.

What is recorded, and how, is the package's: topics, quality of service, and how soon it is on disk.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from vla_inference_ros.graph import share
from vla_inference_ros.recording.appending import MOST_BYTES
from vla_inference_ros.recording.bag_writer import bag_name
from vla_inference_ros.recording.new_names import free_name
from vla_inference_ros.recording.topics import INPUTS, TOPICS

PACKAGES = ("ros2bag", "rosbag2_storage_mcap", "ros2service")
CLOCK_RATE = 100  # [Hz]
# What may wait in memory for a slow disk, about 4 s at full rate; rosbag2 takes up to twice that.
_CACHE = 128 << 20  # [bytes]
# With the last messages on their way: readers acknowledge when the player asks, which Fast DDS does
# every 3 s by default; less ends a replay that lacks nothing with an ERROR [ms].
_PATIENCE = 10_000
RESUME = (
    *("ros2", "service", "call"),
    *("/rosbag2_player/resume", "rosbag2_interfaces/srv/Resume"),
)


def is_installed() -> bool:
    """Whether ``ros2 bag`` is there, knows MCAP, and can be told to resume."""
    try:
        for package in PACKAGES:
            get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def can_play(path: Path) -> bool:
    """Whether it is a bag as ``ros2 bag record`` leaves it when it ends; the own player also reads
    others.
    """
    return (path / "metadata.yaml").is_file()


def record(
    output_dir: Path,
    start: float,
    use_sim_time: bool,
    most_bytes: int = MOST_BYTES,
    most_seconds: int = 0,
) -> list[str]:
    """Records the package's topics from ``start`` [Unix s] on, into ``bag_<start>``, or the next
    free name: where one is taken, ``ros2 bag record`` does not start. None of its files has more
    than what is given; 0 for any size, and for any time.
    """
    command = [
        *("ros2", "bag", "record"),
        *("--storage", "mcap"),
        *("--output", str(free_name(output_dir / bag_name(start)))),
        *("--qos-profile-overrides-path", str(_config("bag_record_qos.yaml"))),
        *("--storage-config-file", str(_config("bag_storage.yaml"))),
        *("--max-cache-size", str(_CACHE)),
        *("--max-bag-size", str(most_bytes)),
        *("--max-bag-duration", str(most_seconds)),
        # Topics on which nobody has published yet, too: joint states are only made for listeners.
        "--include-unpublished-topics",
        "--disable-keyboard-controls",
    ]
    return [*command, *(["--use-sim-time"] if use_sim_time else []), "--topics", *TOPICS]


def play(bag: Path, rate: float) -> list[str]:
    """Plays the inputs in a bag, with /clock, from when ``RESUME`` is run.

    To begin at once would lose what comes before the nodes know the player, and its ``--delay``
    turns the time back when it is over.
    """
    return [
        *("ros2", "bag", "play", str(bag)),
        *("--clock", str(CLOCK_RATE)),
        *("--rate", str(rate)),
        *("--qos-profile-overrides-path", str(_config("bag_qos.yaml"))),
        *("--wait-for-all-acked", str(_PATIENCE)),
        "--start-paused",
        "--disable-keyboard-controls",
        *("--topics", *INPUTS),
    ]


def _config(name: str) -> Path:
    return share() / "config" / name

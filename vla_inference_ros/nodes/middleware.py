"""Settings of ROS's middleware: how soon nodes find each other, and how soon what was lost comes.

After a restart the first decides how soon there are chunks again; the second, how long one lost
message keeps back all after it.
"""

from __future__ import annotations

import os
from pathlib import Path

import rclpy

from vla_inference_ros.graph import share

# By Fast DDS's version: where it looks for a file, and ours. Neither knows the other's spelling.
PROFILES = {
    2: ("FASTRTPS_DEFAULT_PROFILES_FILE", "fastdds_2.xml"),
    3: ("FASTDDS_DEFAULT_PROFILES_FILE", "fastdds_3.xml"),
}


def set_up_middleware() -> None:
    """Have Fast DDS take the package's settings, unless the user has chosen others.

    To be called before ROS is initialised; other middlewares do not care.
    """
    if not any(variable in os.environ for variable, _ in PROFILES.values()):
        variable, name = PROFILES[fast_dds_version(Path(rclpy.__file__))]
        os.environ[variable] = str(share() / "config" / name)


def fast_dds_version(rclpy_file: Path) -> int:
    """The major one, of the ROS installation that a file of rclpy's belongs to: until Jazzy it is
    2, and called Fast RTPS.
    """
    return 2 if any((each / "share" / "fastrtps").is_dir() for each in rclpy_file.parents) else 3

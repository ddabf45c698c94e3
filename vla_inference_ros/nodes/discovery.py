"""How soon nodes find each other: after a restart, that decides how soon there are chunks again."""

from __future__ import annotations

import os

from vla_inference_ros.graph import share

# The second is older, and still heeded.
_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def hasten_discovery() -> None:
    """Have Fast DDS take the package's settings, unless the user has chosen others.

    To be called before ROS is initialised; other middlewares do not care.
    """
    if not any(variable in os.environ for variable in _VARIABLES):
        os.environ[_VARIABLES[0]] = str(share() / "config" / "fastdds.xml")

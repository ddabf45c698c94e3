"""Builds the package for pip from the same CMakeLists.txt that colcon uses.

Everything that CMake installs (Python, messages, executables, share/) lands at the same place under
the environment's prefix; pip adds the console commands. The version is package.xml's.
"""

import os
import re
import sys
from pathlib import Path

from scikit_build_core.setuptools.wrapper import setup

# ROS packages from wheels lie under the environment's own prefix, where CMake does not look.
for variable in ("CMAKE_PREFIX_PATH", "AMENT_PREFIX_PATH"):
    known = os.environ.get(variable, "").split(os.pathsep)
    os.environ[variable] = os.pathsep.join(filter(None, [*known, sys.prefix]))

manifest = Path(__file__).with_name("package.xml").read_text(encoding="utf-8")
version = re.search(r"<version>(.+?)</version>", manifest)
if version is None:
    raise SystemExit("package.xml has no <version>")

setup(
    version=version.group(1),
    packages=[],
    cmake_source_dir=".",
    cmake_args=[f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"],
    entry_points={
        "console_scripts": [
            "vla-launch = vla_inference_ros.launcher:main",
            "vla-recover = vla_inference_ros.recording.recover:main",
            "vla-resend = vla_inference_ros.resend.command:main",
            "vla-replay = vla_inference_ros.replay.command:main",
            "vla-export = vla_inference_ros.export.command:main",
            "vla-report = vla_inference_ros.report.command:main",
            "vla-doctor = vla_inference_ros.doctor.command:main",
        ]
    },
)

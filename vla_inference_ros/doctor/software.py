"""Python, ROS and the Python packages: whether they are there, and of versions that go together."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.doctor.result import Result, ok, problem, warning

LEAST_PYTHON, NEWEST_TESTED_PYTHON = (3, 10), (3, 14)
DISTRIBUTIONS = {7: "jazzy", 9: "kilted"}  # by the major version of their rclpy
_SOURCE = "source /opt/ros/kilted/setup.bash (or jazzy's), or let 'make setup' install ROS's wheels"
# What pip calls the modules, where that is another name.
_PIP_NAMES = {"cv2": "opencv-python-headless", "yaml": "pyyaml", "zmq": "pyzmq"}
_MODULES = ("cv2", "numpy", "rosbags", "simplejpeg", "yaml", "zmq")
_MODEL_MODULES = ("torch", "transformers")  # not for model stub


@dataclass(frozen=True, slots=True)
class SoftwareFacts:
    """``rclpy_version`` is '' where it cannot be found; ``rclpy_error`` says why rclpy cannot be
    imported; ``distribution`` is ROS_DISTRO's; ``missing`` are modules.
    """

    python: tuple[int, int, int]
    rclpy_version: str
    rclpy_error: str
    distribution: str
    missing: tuple[str, ...]


def gather_software(
    environment: Mapping[str, str], *, needs_torch: bool, rclpy_error: str = ""
) -> SoftwareFacts:
    """Of this process. rclpy, whose import can end a process, is only looked for; ``rclpy_error``
    says why another could not import it.
    """
    version, error = "", rclpy_error
    found = importlib.util.find_spec("rclpy")
    if found is not None and found.origin:
        version = _version_of(Path(found.origin))
    else:
        error = error or "No module named 'rclpy'"
    modules = _MODULES + (_MODEL_MODULES if needs_torch else ())
    missing = tuple(name for name in modules if importlib.util.find_spec(name) is None)
    distribution = environment.get("ROS_DISTRO", "")
    return SoftwareFacts(sys.version_info[:3], version, error, distribution, missing)


def python_version(facts: SoftwareFacts) -> Result:
    """Whether the package runs on this Python."""
    check, version = "Python", ".".join(map(str, facts.python))
    if facts.python[:2] < LEAST_PYTHON:
        return problem(
            check,
            f"{version} is older than {_dotted(LEAST_PYTHON)}",
            f"use Python {_dotted(LEAST_PYTHON)} or newer, such as that of Ubuntu 24.04",
        )
    if facts.python[:2] > NEWEST_TESTED_PYTHON:
        return warning(
            check,
            f"{version} is newer than {_dotted(NEWEST_TESTED_PYTHON)}, the newest that was tried",
            f"if something fails, use Python {_dotted(NEWEST_TESTED_PYTHON)} or older",
        )
    return ok(check, f"{version} ({sys.executable})", version=version)


def ros_distribution(facts: SoftwareFacts) -> Result:
    """Whether rclpy is there, of a supported distribution, and the one that was sourced."""
    check, supported = "ROS", " and ".join(name.capitalize() for name in DISTRIBUTIONS.values())
    if facts.rclpy_error:
        return problem(check, f"rclpy cannot be imported: {facts.rclpy_error}", _SOURCE)
    major = int(match[0]) if (match := re.match(r"\d+", facts.rclpy_version)) else 0
    found = DISTRIBUTIONS.get(major, facts.distribution or "an unknown distribution")
    told = f"rclpy {facts.rclpy_version or 'of unknown version'} ({found.capitalize()})"
    if facts.distribution and major in DISTRIBUTIONS and facts.distribution != found:
        return problem(
            check,
            f"{told}, but ROS_DISTRO is {facts.distribution}: two distributions are mixed",
            "open a new shell and source one of them only",
        )
    if major in DISTRIBUTIONS:
        return ok(check, told, rclpy_version=facts.rclpy_version, distribution=found)
    if major and major < min(DISTRIBUTIONS):
        return problem(check, f"{told} is older than {supported}, which are supported", _SOURCE)
    return warning(
        check,
        f"{told} is none of {supported}, which are supported",
        "it should work; if something fails, use a supported one",
    )


def python_packages(facts: SoftwareFacts) -> Result:
    """Whether the modules that the nodes import can be found."""
    check = "Python packages"
    if not facts.missing:
        return ok(check, "all there")
    pip = " ".join(_PIP_NAMES.get(name, name) for name in facts.missing)
    return problem(
        check,
        f"not there: {', '.join(facts.missing)}",
        f"rosdep install --from-paths src --ignore-src -y, or pip install {pip}",
    )


def gather_here(*, needs_torch: bool, rclpy_error: str) -> SoftwareFacts:
    """Of this process and its environment."""
    return gather_software(os.environ, needs_torch=needs_torch, rclpy_error=rclpy_error)


def _version_of(file: Path) -> str:
    """rclpy's, from the manifest of the installation that it was imported from."""
    for folder in file.parents:
        manifest = folder / "share" / "rclpy" / "package.xml"
        if manifest.is_file():
            match = re.search(r"<version>(.+?)</version>", manifest.read_text(encoding="utf-8"))
            return match[1].strip() if match else ""
    return ""


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))

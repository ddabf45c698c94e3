import dataclasses

import pytest

from vla_inference_ros.doctor.result import Status
from vla_inference_ros.doctor.software import (
    SoftwareFacts,
    gather_software,
    python_packages,
    python_version,
    ros_distribution,
)

GOOD = SoftwareFacts((3, 12, 3), "7.1.6", "", "jazzy", ())


def test_this_installation_is_supported() -> None:
    facts = gather_software({}, needs_torch=True)
    checks = python_version(facts), ros_distribution(facts), python_packages(facts)
    assert [check.status for check in checks] == [Status.OK] * 3
    assert facts.rclpy_version in checks[1].finding


def test_an_old_python_is_a_problem() -> None:
    result = python_version(dataclasses.replace(GOOD, python=(3, 8, 10)))
    assert result.status is Status.PROBLEM
    assert result.finding == "3.8.10 is older than 3.10"
    assert result.remedy.startswith("use Python 3.10 or newer")


def test_a_python_newer_than_any_that_was_tried_is_a_warning() -> None:
    assert python_version(dataclasses.replace(GOOD, python=(3, 15, 0))).status is Status.WARNING


@pytest.mark.parametrize(
    ("version", "distribution", "status", "finding"),
    [
        ("7.1.6", "jazzy", Status.OK, "rclpy 7.1.6 (Jazzy)"),
        ("9.1.2", "", Status.OK, "rclpy 9.1.2 (Kilted)"),
        ("3.3.17", "humble", Status.PROBLEM, "(Humble) is older than Jazzy and Kilted"),
        ("11.0.0", "rolling", Status.WARNING, "(Rolling) is none of Jazzy and Kilted"),
        ("9.1.2", "humble", Status.PROBLEM, "ROS_DISTRO is humble: two distributions are mixed"),
        ("", "", Status.WARNING, "of unknown version"),
    ],
)
def test_distributions(version: str, distribution: str, status: Status, finding: str) -> None:
    facts = dataclasses.replace(GOOD, rclpy_version=version, distribution=distribution)
    result = ros_distribution(facts)
    assert result.status is status
    assert finding in result.finding


def test_ros_that_is_not_there_is_a_problem() -> None:
    error = "ModuleNotFoundError: No module named 'rclpy'"
    result = ros_distribution(dataclasses.replace(GOOD, rclpy_version="", rclpy_error=error))
    assert result.status is Status.PROBLEM
    assert error in result.finding
    assert result.remedy.startswith("source /opt/ros/")


def test_missing_packages_are_named_as_pip_calls_them() -> None:
    result = python_packages(dataclasses.replace(GOOD, missing=("cv2", "torch")))
    assert result.status is Status.PROBLEM
    assert result.finding == "not there: cv2, torch"
    assert result.remedy.endswith("pip install opencv-python-headless torch")

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vla_inference_ros.graph import PACKAGE, prefix
from vla_inference_ros.nodes.ros_settings import unusable

INDEX = Path("share", "ament_index", "resource_index", "rmw_typesupport")
# Variables with which ROS does not start, and what is to be said of them; '' removes one.
WRONG = [
    (
        {"RMW_IMPLEMENTATION": "rmw_none_cpp"},
        "RMW_IMPLEMENTATION is 'rmw_none_cpp', which is not installed: unset it, or export one",
    ),
    ({"ROS_DOMAIN_ID": "233"}, "ROS_DOMAIN_ID is 233, not from 0 to 232: export a number"),
    ({"ROS_DOMAIN_ID": "-1"}, "ROS_DOMAIN_ID is -1, not from 0 to 232: export a number"),
    ({"ROS_DOMAIN_ID": "seven"}, "ROS_DOMAIN_ID is 'seven', which is not a whole number: export"),
    ({"ROS_DOMAIN_ID": "9" * 30}, f"ROS_DOMAIN_ID is {'9' * 30}, not from 0 to 232: export"),
    (
        {"HOME": "", "ROS_LOG_DIR": "", "ROS_HOME": ""},
        "HOME is not set, so ROS has no folder for its log: export ROS_LOG_DIR=",
    ),
    (
        {"HOME": "/proc/none", "ROS_LOG_DIR": "", "ROS_HOME": ""},
        "ROS cannot write its log to /proc/none/.ros/log: No such file or directory: export ROS",
    ),
    (
        {"ROS_STATIC_PEERS": "::1"},
        "ROS_STATIC_PEERS has '::1', of which no IPv4 address is known",
    ),
    (
        {"ROS_STATIC_PEERS": f"127.0.0.1;{'x' * 64}", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        f"ROS_STATIC_PEERS has '{'x' * 64}', of which no IPv4 address is known",
    ),
    (
        {"ROS_STATIC_PEERS": "127.0.0.1;::1"},
        "ROS_STATIC_PEERS has '::1', of which no IPv4 address is known, and Fast DDS takes no",
    ),
    (
        {"ROS_STATIC_PEERS": "10.0.0.1,10.0.0.2", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        "ROS_STATIC_PEERS has '10.0.0.1,10.0.0.2', of which no IPv4 address is known, and Fast",
    ),
    (
        {"RCUTILS_COLORIZED_OUTPUT": "yes", "RCUTILS_LOGGING_USE_STDOUT": "2"},
        "RCUTILS_COLORIZED_OUTPUT is 'yes', RCUTILS_LOGGING_USE_STDOUT is '2', not 0 or 1: export",
    ),
    ({"RCUTILS_LOGGING_BUFFERED_STREAM": "on"}, "RCUTILS_LOGGING_BUFFERED_STREAM is 'on', not 0"),
    ({"ROS_LOG_DIR": "/proc/none"}, "ROS cannot write its log to /proc/none: No such file"),
]


def with_these(changes: dict[str, str]) -> dict[str, str]:
    given = {**os.environ, **changes}
    return {name: value for name, value in given.items() if value}


def node(name: str, changes: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [prefix() / "lib" / PACKAGE / name, *arguments],
        env=with_these(changes),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_a_node_says_in_one_line_what_to_do(changes: dict[str, str], said: str) -> None:
    done = node("monitor", changes)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"cannot start: {said}")
    assert (done.returncode, done.stdout) == (1, "")


def test_each_wrong_setting_has_its_line() -> None:
    done = node("vlm", {"ROS_DOMAIN_ID": "233", "ROS_LOG_DIR": "/proc/none"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2


def test_the_launcher_says_it_once_and_starts_nothing() -> None:
    command = [str(Path(sys.executable).with_name("vla-launch")), "demo.launch.py"]
    done = subprocess.run(
        command,
        env=with_these({"ROS_DOMAIN_ID": "233"}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vla-launch: ROS_DOMAIN_ID is 233, not from 0 to 232: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("domain", ["0", "232", "", " 5 ", "+5", "0x10", "010"])
def test_a_domain_that_ros_takes_is_left_alone(domain: str, tmp_path: Path) -> None:
    assert not unusable({"ROS_DOMAIN_ID": domain, "HOME": str(tmp_path)})


def test_a_middleware_of_any_prefix_will_do(tmp_path: Path) -> None:
    prefixes = [tmp_path / "one", tmp_path / "two"]
    wanted = {"RMW_IMPLEMENTATION": "rmw_two", "HOME": str(tmp_path)}
    assert not unusable(wanted, prefixes)  # of an installation without an index nothing is known
    for each in prefixes:
        (each / INDEX).mkdir(parents=True)
        (each / INDEX / f"rmw_{each.name}").touch()
    assert not unusable(wanted, prefixes)
    (found,) = unusable(wanted, prefixes[:1])
    assert found.remedy.endswith(": rmw_one")


@pytest.mark.parametrize(
    "other",
    [
        {"ROS_STATIC_PEERS": "127.0.0.1;;localhost;"},
        {"ROS_STATIC_PEERS": "::1", "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"},
        {"ROS_STATIC_PEERS": "::1", "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
        {"ROS_STATIC_PEERS": "::1", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"},
    ],
)
def test_peers_that_ros_takes_or_passes_over_are_left_alone(
    other: dict[str, str], tmp_path: Path
) -> None:
    assert not unusable({**other, "HOME": str(tmp_path)}, [tmp_path])


def test_without_log_files_no_folder_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(unusable({})) == 1
    monkeypatch.setattr(sys, "argv", ["node", "--ros-args", "--disable-external-lib-logs"])
    assert not unusable({})

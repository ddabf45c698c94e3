"""Every name that the project takes from ROS is there, in the release that the tests run with.

A name that one release lacks ends a node at its start. Looked up are the names in all files, those
imported within functions too; and every module is imported.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil

import pytest
from ros_names import ROOT, may_need_ros, taken

import vla_inference_ros

FOLDERS = ("vla_inference_ros", "launch", "bench", "test")
MODULES = [m.name for m in pkgutil.walk_packages(vla_inference_ros.__path__, "vla_inference_ros.")]
ONLY_IN_AN_INSTALLATION = {"launch", "launch_ros"}  # of ROS: no wheels have them


def is_there(full_name: str) -> bool:
    """Whether a module, or what it has, can be had by its full name."""
    try:
        pkgutil.resolve_name(full_name)
    except (ImportError, AttributeError):
        return False
    return True


def test_what_is_taken_from_ros_is_there() -> None:
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    names = {name: file for file in files for name in taken(ast.parse(file.read_text("utf-8")))}
    assert len(names) > 100
    assert {name: file for name, file in names.items() if not is_there(name)} == {}


def test_names_that_a_release_lacks_are_found() -> None:
    code = """
import rclpy.node as of_nodes
from rclpy import qos, task
from rclpy.qos import QoSProfile as Profile
def late():
    from rclpy.qos import qos_profile_of_another_release
    of_nodes.Node.of_another_release()
    Profile.OF_ANOTHER_RELEASE, qos.ReliabilityPolicy.RELIABLE, task.Future().done
"""
    missing = {name for name in taken(ast.parse(code)) if not is_there(name)}
    assert missing == {
        "rclpy.qos.qos_profile_of_another_release",
        "rclpy.node.Node.of_another_release",
        "rclpy.qos.QoSProfile.OF_ANOTHER_RELEASE",
    }


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in ONLY_IN_AN_INSTALLATION:
            raise


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("graph/test_web_log.py", True),  # starts nodes
        ("nodes/test_chunk.py", True),  # imports messages
        ("nodes/test_parameters.py", True),  # imports nodes by names made as it runs
        ("test_launcher.py", True),  # starts a command
        ("core/test_wire.py", False),
        ("sim/test_faults.py", False),
        ("model/test_fused.py", False),
    ],
)
def test_whether_a_test_may_need_ros_is_told_by_what_it_imports(test: str, expected: bool) -> None:
    assert may_need_ros(ROOT / "test" / test) == expected

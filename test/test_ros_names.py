"""Every name that the project takes from ROS is there, in the release that the tests run with.

Releases differ in what they have, and a name that one of them lacks ends a node at its start.
Looked up are the names in all files, imported within functions too, and all modules are imported.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vla_inference_ros

ROOT = Path(__file__).parents[1]
FOLDERS = ("vla_inference_ros", "launch", "bench", "test")
ROS = re.compile(r"((rcl|rmw|ament_|rosidl_)\w*|\w+_(msgs|interfaces)|vla_inference_ros\.msg)\b")
MODULES = [m.name for m in pkgutil.walk_packages(vla_inference_ros.__path__, "vla_inference_ros.")]
ONLY_IN_AN_INSTALLATION = {"launch", "launch_ros"}  # of ROS: no wheels have them


def taken(tree: ast.Module) -> Iterator[str]:
    """What a file imports of ROS, and the attributes that it names of that, by their full names:
    ``rclpy.qos.QoSProfile``, ``rcl_interfaces.msg.Log.WARN``.
    """
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    of_ros = {name: full for name, full in bound.items() if ROS.match(full)}
    yield from of_ros.values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, *attributes = ast.unparse(node).split(".")
            if name in of_ros and all(map(str.isidentifier, attributes)):
                yield ".".join([of_ros[name], *attributes])


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


def test_names_that_only_one_release_has_are_found() -> None:
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

"""What the project's files take from ROS, read from their text: nothing is imported for it.

Releases of ROS differ, so whatever may depend on ROS is tested with each of them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PATH = (ROOT, ROOT / "bench", ROOT / "test" / "support")  # where the project's modules lie
_ROS = re.compile(r"((rcl|rmw|ament_|rosidl_)\w*|\w+_(msgs|interfaces)|vla_inference_ros\.msg)\b")
# With these a file may start, or import by a name made as it runs, any other.
_INDIRECT = re.compile(r"(importlib|multiprocessing|runpy|subprocess)\b")


def taken(tree: ast.Module) -> Iterator[str]:
    """What a file imports of ROS, and the attributes that it names of that, by their full names:
    ``rclpy.qos.QoSProfile``, ``rcl_interfaces.msg.Log.WARN``.
    """
    of_ros = {name: full for name, full in _imports(tree).items() if _ROS.match(full)}
    yield from of_ros.values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, *attributes = ast.unparse(node).split(".")
            if name in of_ros and all(map(str.isidentifier, attributes)):
                yield ".".join([of_ros[name], *attributes])


@cache
def may_need_ros(test: Path) -> bool:
    """Whether a test file, a conftest.py above it, or what these import of the project takes
    anything from ROS, or could run a file that does.
    """
    above = [folder / "conftest.py" for folder in test.parents if folder.is_relative_to(ROOT)]
    found = {test, *filter(Path.is_file, above)}
    looked_at: set[Path] = set()
    while found:
        file = found.pop()
        looked_at.add(file)
        needs_ros, imported = _look_at(file)
        if needs_ros:
            return True
        found |= imported - looked_at
    return False


def _imports(tree: ast.Module) -> dict[str, str]:
    """The names that a file gives to what it imports, within functions too, and the full names."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            names |= {each.asname or each.name: module + each.name for each in node.names}
    return names


@cache
def _look_at(file: Path) -> tuple[bool, frozenset[Path]]:
    """Whether a file may need ROS by itself, and the project's files that it imports."""
    full_names = _imports(ast.parse(file.read_text(encoding="utf-8"))).values()
    needs_ros = any(_ROS.match(name) or _INDIRECT.match(name) for name in full_names)
    return needs_ros, frozenset(path for name in full_names for path in _files(name))


def _files(full_name: str) -> Iterator[Path]:
    """The project's files that are imported for a module, or for what it has."""
    parts = full_name.split(".")
    for count in range(1, len(parts) + 1):
        for base in (folder.joinpath(*parts[:count]) for folder in _PATH):
            yield from filter(Path.is_file, (base.with_suffix(".py"), base / "__init__.py"))

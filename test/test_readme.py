"""The README's tables say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from configs import config_type, limits

from vla_inference_ros import graph, launch_arguments
from vla_inference_ros.nodes.parameters import specifications
from vla_inference_ros.nodes.verbosity import CommonConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PARAMETERS = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next of its level."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| `")]


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value) if value != "" else "''"


def test_launch_arguments() -> None:
    expected = [
        f"| `{a.name}` | `{shown(a.default)}` | {a.description} |"
        for a in launch_arguments.ARGUMENTS
    ]
    assert rows(section("Launch arguments")) == expected


def test_replay_arguments() -> None:
    page = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
    text = page.split("\n## Into the nodes\n")[1].split("\n## ")[0]
    own = [a for a in launch_arguments.REPLAY_ARGUMENTS if a not in launch_arguments.ARGUMENTS]
    assert rows(text) == [f"| `{a.name}` | `{shown(a.default)}` | {a.description} |" for a in own]
    for argument in launch_arguments.REPLAY_ARGUMENTS:
        assert f"`{argument.name}`" in text


@pytest.mark.parametrize("node", ["every node", *graph.ALL_NODES])
def test_parameters(node: str) -> None:
    config = CommonConfig if node == "every node" else config_type(node)
    text = PARAMETERS.split(f"\n**{node}**\n")[1].split("\n**")[0]
    assert rows(text) == [
        f"| `{name}` | `{shown(default)}` | {spec.description}{limits(default, spec)} |"
        for name, (default, spec) in specifications(config).items()
    ]


def test_topics() -> None:
    named = set(re.findall(r"`(/[a-z0-9_/.]+)`", section("Topics")))
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "vla_inference_ros" / "nodes").glob("*.py")
    )
    published = re.findall(r"create_publisher\(\s*\w+, \"(/[a-z_/]+)\"", sources)
    assert set(published) <= named


def test_files_that_are_linked_are_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page, target)

"""The tables of troubles say what the package says: no row can go stale, and none lacks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from configs import config_type
from printed import Printed, texts, trees

from vla_inference_ros import graph
from vla_inference_ros.core import troubles
from vla_inference_ros.launch_arguments import ARGUMENTS
from vla_inference_ros.nodes.parameters import specifications

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRINTED = Printed(texts(), graph.ALL_NODES)
# What is no parameter, though it looks like one: words of the wire, of messages, values, libraries.
NO_PARAMETERS = {
    *("send_time", "send_multipart", "robot_state", "clock_offset", "best_effort"),
    *("pickle_protocol", "merge_and_unload"),
}


def rows(text: str) -> list[list[str]]:
    """The cells of every row but the headings."""
    lines = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in cells] for cells in lines if "what you see" not in cells[0]]


def spans(column: int) -> list[str]:
    """What stands in backticks in a column."""
    return [span for cells in rows(PAGE) for span in re.findall(r"`([^`]+)`", cells[column])]


def commands(text: str) -> set[str]:
    """The commands of this package that a text names."""
    return set(re.findall(r"\bvla-[a-z]+\b", text))


SYMPTOMS = list(dict.fromkeys(spans(0)))


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_symptom_is_what_is_printed(symptom: str) -> None:
    assert PRINTED.has(symptom), f"nothing prints {symptom!r}: grep the sources for what it is now"


@pytest.mark.parametrize(
    "symptom",
    [
        "packets are purple",
        "View1: packets are eaten",
        "robot: wrong colour",
        "the robot is tired",
        "sensor window holds 20 of 65 bananas",
        "image of View3 is 0.25 s young, over 0.2 s",
        "VL median: 620ms",
        "steps take 120.0 ms, beyond 100",
        "no tea from vlm: has it stopped?",
        "cannot whistle on ...",
    ],
)
def test_what_is_made_up_is_not_found(symptom: str) -> None:
    assert not PRINTED.has(symptom)


def test_a_text_put_together_is_found() -> None:
    printed = Printed({"\0 \0 s old, over \0 s", "image of \0 is", "NO \0"})
    assert printed.has("image of View3 is 0.25 s old, over 0.2 s")
    assert printed.has("... s old, over ... s")
    assert not printed.has("image of View3 is 0.25 s young, over 0.2 s")
    assert not printed.has("image View3 is 0.25 s old, over 0.2 s")


@pytest.mark.parametrize("cells", rows(PAGE), ids=lambda cells: cells[0][:40])
def test_a_row_is_whole(cells: list[str]) -> None:
    assert len(cells) == 3
    assert all(cells)


def test_every_kind_of_bad_input_has_a_row() -> None:
    kinds = {
        node.args[0].value
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ((isinstance(node.func, ast.Name) and node.func.id == "WireError")
             or (isinstance(node.func, ast.Attribute) and node.func.attr == "problem"))
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip
    named = {re.sub(r"^\w+: ", "", symptom) for symptom in SYMPTOMS}
    assert {"wrong size", "kernel drop", "missed tick"} <= kinds
    assert not kinds - named


def test_every_trouble_has_a_row() -> None:
    words = {value for name, value in vars(troubles).items() if name.isupper()} - {troubles.LASTS}
    named = {re.sub(r"^\w+: ", "", symptom) for symptom in SYMPTOMS}
    assert "packets are missing" in words
    assert not words - named


def test_a_remedy_names_what_there_is() -> None:
    arguments = {argument.name for argument in ARGUMENTS}
    parameters = {name for node in graph.ALL_NODES for name in specifications(config_type(node))}
    known = arguments | parameters | set(graph.ALL_NODES) | NO_PARAMETERS
    for span in spans(1) + spans(2):
        if match := re.match(r"(\w+):=", span):
            assert match[1] in arguments, span
        elif re.fullmatch(r"[a-z]+(_[a-z]+)+", span):
            assert span in known, span


def test_a_remedy_names_commands_that_are_installed() -> None:
    there = commands((ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert {"vla-doctor", "vla-recover"} <= commands(PAGE) <= there


def test_the_headings_are_listed_at_the_top() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    listed = re.findall(r"\[([^]]+)\]\(#([^)]+)\)", PAGE.split("\n## ")[0])
    assert listed == [(title, title.lower().replace(" ", "-")) for title in headings]


def test_the_readme_has_rows_of_the_page() -> None:
    shown = rows(README.split("\n## Troubleshooting\n")[1].split("\n## ")[0])
    assert len(shown) == 10
    assert all(cells in rows(PAGE) for cells in shown)

"""Text files are UTF-8, whatever the locale of who runs the package, its bench or its tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    *(ROOT / "setup.py", *(ROOT / "launch").glob("*.py")),
    *(
        file
        for name in ("vla_inference_ros", "bench", "test")
        for file in (ROOT / name).rglob("*.py")
    ),
]
# By what is called: where the encoding stands among the arguments, and where the mode does.
PLACES = {"read_text": (0, None), "write_text": (1, None), "open": (2, 0), "fdopen": (3, 1)}
NOT_OF_FILES = ("os", "webbrowser", "zipfile", "tarfile")  # whose open() is another


def without_encoding(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that leave the encoding of a text file to the locale."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name, place, mode_place = _called(call.func)
        if name not in PLACES or len(call.args) > place:
            continue
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        mode = named.get("mode")
        if mode_place is not None and len(call.args) > mode_place:
            mode = call.args[mode_place]
        text = str(mode.value) if isinstance(mode, ast.Constant) else "?" if mode else "r"
        if name == "open" and isinstance(call.func, ast.Attribute) and set(text) - set("rwaxbt+"):
            continue  # something else is opened, such as a page
        is_binary = "b" in text
        if not is_binary and "encoding" not in named and None not in named:
            yield call


def _called(function: ast.expr) -> tuple[str, int, int | None]:
    """The name, and the places of encoding and mode: the builtin open() has the file first."""
    if isinstance(function, ast.Name) and function.id == "open":
        return "open", 3, 1
    if not isinstance(function, ast.Attribute) or function.attr not in PLACES:
        return "", 0, None
    of = function.value
    if function.attr == "open" and isinstance(of, ast.Name) and of.id in NOT_OF_FILES:
        return "", 0, None
    return function.attr, *PLACES[function.attr]


def test_every_text_file_has_its_encoding_said() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for file in SOURCES
        for call in without_encoding(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("path.read_text()", True),
        ("path.read_text(errors='replace')", True),
        ("path.write_text('x')", True),
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("path.open('a')", True),
        ("os.fdopen(1, 'w')", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.read_text('utf-8')", False),
        ("open(path, 'rb')", False),
        ("path.open(mode='wb')", False),
        ("os.fdopen(1, 'wb')", False),
        ("os.open(path, flags)", False),
        ("page.open('http://x')", False),
        ("path.read_bytes()", False),
    ],
)
def test_what_is_found(source: str, found: bool) -> None:
    assert bool(list(without_encoding(ast.parse(source)))) is found

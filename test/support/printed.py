"""What the package can print: the texts in its sources, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "vla_inference_ros"
GAP = "\0"  # stands for what an f-string fills in
_LEAST_LETTERS = 4  # of a piece of a text that was put together from several
# What a symptom may have where the source has a gap: a value, as a person sees it, or "...", which
# also stands for what is left out on both sides of the gap.
_VALUE = r"\.\.\.|\bView\d\b|\b(?:True|False)\b|\d+(?:\.\d+)?"
_LEFT_OUT = rf"[^\n]{{0,60}}?{GAP}[^\n]{{0,60}}?"


@cache
def trees() -> tuple[ast.Module, ...]:
    """The syntax tree of each Python file of the package."""
    files = sorted(PACKAGE.rglob("*.py"))
    return tuple(ast.parse(file.read_text(encoding="utf-8")) for file in files)


def texts() -> set[str]:
    """Every text of the sources, but for docstrings; of an f-string, its gaps as GAP."""
    found: set[str] = set()
    for tree in trees():
        found |= {text for text in map(_text, _expressions(tree)) if text}
    for page in sorted((PACKAGE / "web" / "page").glob("*.js")):
        literals = re.findall(r'"([^"\n]*)"|`([^`]*)`', page.read_text(encoding="utf-8"))
        found |= {re.sub(r"\$\{[^}]*\}", GAP, first or second) for first, second in literals}
    return found


class Printed:
    """Whether the package can print something."""

    def __init__(self, known: set[str], names: tuple[str, ...] = ()) -> None:
        """``known`` as `texts` has them; ``names`` are values, too, such as those of nodes."""
        self._known = sorted(known)
        self._value = re.compile("|".join((_VALUE, *(rf"\b{name}\b" for name in names))))

    def has(self, symptom: str) -> bool:
        """Whether the symptom is in one text, or in two or three that were put together where one
        of them has a gap.
        """
        without_stream = re.sub(r"^(View\d|robot|sensor|camera): ", "", symptom)
        return any(self._found(each) or self._joined(each, 2) for each in (symptom, without_stream))

    def _found(self, piece: str, before: str = "", after: str = "") -> bool:
        piece = re.sub(r"^[\s.:]*\.\.\.\W*|\W*\.\.\.[\s.:]*$", "", piece.strip())
        literal = self._value.split(piece)
        if sum(map(str.isalpha, "".join(literal))) < _LEAST_LETTERS:
            return False
        pattern = re.escape(literal[0])
        for value, text in zip(self._value.findall(piece), literal[1:], strict=True):
            gap = _LEFT_OUT if value == "..." else f"(?:{GAP}|{re.escape(value)})"
            pattern += gap + re.escape(text)
        longest = max(literal, key=len)  # most texts are not asked any further
        return any(
            longest in text and re.search(f"{before}{pattern}{after}", text, re.MULTILINE)
            for text in self._known
        )

    def _joined(self, symptom: str, joints: int, before: str = "") -> bool:
        """Whether the symptom's beginning ends where a text does or has a gap, and so on."""
        for index in range(_LEAST_LETTERS, len(symptom) - _LEAST_LETTERS + 1):
            head, tail = symptom[:index], symptom[index:]
            if not self._found(head, before, rf"[^\w{GAP}]{{0,3}}(?:{GAP}|$)"):
                continue
            start = rf"(?:{GAP}|^)[^\w\n{GAP}]{{0,3}}"
            if self._found(tail, start) or (joints > 1 and self._joined(tail, joints - 1, start)):
                return True
        return False


def _expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """All but docstrings, and an f-string's pieces only as a part of it."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.expr):
            yield child
        if isinstance(child, ast.JoinedStr):
            for value in child.values:
                if isinstance(value, ast.FormattedValue):
                    yield value.value
                    yield from _expressions(value.value)
        else:
            yield from _expressions(child)


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return ""
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
    )

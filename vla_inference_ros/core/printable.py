"""Text from elsewhere as it may stand on a console or in a log: nothing in it acts.

A camera's name, a reason or an instruction can hold characters that move a terminal's cursor,
clear its screen, turn the direction of writing or begin a line of their own. They are shown as
Python writes them, such as ``\\x1b``, where text leaves for people: nothing is changed on its way
there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

MOST, LONGEST = 30, 300  # texts in a list, and characters of one
_SHORT = 60  # characters of a name
_BEGIN, _END, _DIGEST = 30, 20, 12  # of a longer one: more than _SHORT, so that it equals none
_INDENT = r"(?! {2})"  # how the lines begin that we put below the first of a record
_FOREIGN_LINE = re.compile(rf"\n{_INDENT}")


def printable(text: str) -> str:
    """One line in which every character is to be seen, or is a space."""
    if text.isprintable():  # nearly always, and quick
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def printable_record(text: str) -> str:
    """A record of one line or of several; those below the first begin with two spaces, so that no
    text within can pretend to be a record of its own.
    """
    if text.isprintable():
        return text
    lines = _FOREIGN_LINE.sub(lambda _: _escaped("\n"), text).split("\n")
    return "\n".join(map(printable, lines))


def short(name: str) -> str:
    """A name that people can read, still another one for each name: one that is too long keeps its
    beginning and its end, and a digest of it all stands for the rest.
    """
    if len(name) <= _SHORT:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{name[:_BEGIN]}…{name[-_END:]} ({digest})"


def told(texts: Sequence[str]) -> list[str]:
    """Texts in a list that people read: each printable and not too long, and not too many."""
    shown = [printable(text[:LONGEST]) for text in texts[:MOST]]
    return shown + ([f"and {len(texts) - MOST} more"] if len(texts) > MOST else [])


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")

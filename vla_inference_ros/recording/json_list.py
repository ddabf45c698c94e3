"""A JSON list of objects, read an object at a time where it has an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from vla_inference_ros.recording.odd import Leaving, OddError, RecordingError


def read_list(path: Path, leaving: Leaving) -> Iterator[dict[str, Any]]:
    """The objects of a file; all else in its list is left out. One that other programs have laid
    out is read as a whole. Raises RecordingError.
    """
    try:
        if _has_an_object_a_line(path):
            found = _line_by_line(path, leaving)
        else:
            found = _at_once(path, leaving)
        for where, entry in found:
            if isinstance(entry, dict):
                yield entry
            else:
                leaving.out(OddError("no JSON object", f"{where} is no JSON object"))
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is no text in UTF-8: {error}") from error
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error


def _has_an_object_a_line(path: Path) -> bool:
    with _opened(path) as file:
        return file.readline().strip() == "[" and _is_object(file.readline())


def _has_any_object_a_line(path: Path) -> bool:
    with _opened(path) as file:
        return any(map(_is_object, file))


def _opened(path: Path) -> TextIO:
    """What is no UTF-8 is found in the line where it stands."""
    return path.open(encoding="utf-8", errors="surrogateescape")


def _line_by_line(path: Path, leaving: Leaving) -> Iterator[tuple[str, object]]:
    is_open, wants_one, is_damaged = True, False, False
    with _opened(path) as file:
        if file.readline().strip() != "[":
            leaving.out(_damaged_line(f"{path}, line 1", "it does not begin a list"))
        for number, line in enumerate(file, 2):
            where, text = f"{path}, line {number}", line.strip()
            if not text:
                continue
            if not is_open:
                raise RecordingError(_damaged(where, "something follows the list's end"))
            if text == "]" and (is_damaged or not wants_one):
                is_open = False
                continue
            is_open = not text.endswith("]")  # an object never ends so
            try:
                entry = _object(text.removesuffix("]"))
            except (ValueError, RecursionError) as error:
                leaving.out(_damaged_line(where, error))
                is_damaged, wants_one = True, not text.endswith("]")
                continue
            if not wants_one and number > 2 and not is_damaged:
                raise RecordingError(_damaged(where, "there is no comma before it"))
            wants_one, is_damaged = text.endswith(","), False
            yield where, entry
    if is_open:
        raise RecordingError(_damaged(str(path), "the list has no end"))


def _at_once(path: Path, leaving: Leaving) -> Iterator[tuple[str, object]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        if _has_any_object_a_line(path):  # whose first lines are damaged
            yield from _line_by_line(path, leaving)
            return
        if isinstance(error, UnicodeDecodeError):
            raise
        raise RecordingError(_damaged(str(path), error)) from error
    if not isinstance(entries, list):
        raise RecordingError(f"{path} holds no list of action chunks")
    for number, entry in enumerate(entries):
        yield f"{path}, entry {number}", entry


def _object(line: str) -> object:
    """What a line holds. ValueError if it is damaged."""
    line.encode()  # UnicodeError for what was no UTF-8
    entry: object = json.loads(line.rstrip().removesuffix(","))
    return entry


def _is_object(line: str) -> bool:
    try:
        return isinstance(_object(line), dict)
    except (ValueError, RecursionError):
        return False


def _damaged_line(where: str, what: object) -> OddError:
    return OddError("a damaged line", _damaged(where, what))


def _damaged(where: str, what: object) -> str:
    return (
        f"{where} is no whole JSON list: {what}. If its recorder was killed, run `vla-recover` on "
        "the folder first"
    )

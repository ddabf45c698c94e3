"""A JSON list of objects, read an object at a time where it has an object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vla_inference_ros.recording.odd import Leaving, OddError, RecordingError


def read_list(path: Path, leaving: Leaving) -> Iterator[dict[str, Any]]:
    """The objects of a file; all else in its list is left out. One that other programs have laid
    out is read as a whole. Raises RecordingError.
    """
    try:
        found = _line_by_line(path) if _has_an_object_a_line(path) else _at_once(path)
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
    with path.open(encoding="utf-8") as file:
        if file.readline().strip() != "[":
            return False
        try:
            return isinstance(_object(file.readline()), dict)
        except (ValueError, RecursionError):
            return False


def _line_by_line(path: Path) -> Iterator[tuple[str, object]]:
    is_open, wants_one = True, False
    with path.open(encoding="utf-8") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            where, text = f"{path}, line {number}", line.strip()
            if not text:
                continue
            if not is_open:
                raise RecordingError(_damaged(where, "something follows the list's end"))
            if text == "]" and not wants_one:
                is_open = False
                continue
            is_open = not text.endswith("]")  # an object never ends so
            try:
                entry = _object(text.removesuffix("]"))
            except (ValueError, RecursionError) as error:
                raise RecordingError(_damaged(where, error)) from error
            if not wants_one and number > 2:
                raise RecordingError(_damaged(where, "there is no comma before it"))
            wants_one = text.endswith(",")
            yield where, entry
    if is_open:
        raise RecordingError(_damaged(str(path), "the list has no end"))


def _at_once(path: Path) -> Iterator[tuple[str, object]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise RecordingError(_damaged(str(path), error)) from error
    if not isinstance(entries, list):
        raise RecordingError(f"{path} holds no list of action chunks")
    for number, entry in enumerate(entries):
        yield f"{path}, entry {number}", entry


def _object(line: str) -> object:
    entry: object = json.loads(line.rstrip().removesuffix(","))
    return entry


def _damaged(where: str, what: object) -> str:
    return (
        f"{where} is no whole JSON list: {what}. If its recorder was killed, run `vla-recover` on "
        "the folder first"
    )

"""A result that is there as a whole or not at all: a folder that gets its name at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vla_inference_ros.recording.sensor_file import PART


class OutputError(ValueError):
    """A result that cannot be made; the message says why and what can be done."""


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Where to make the folder that becomes ``path`` when the block ends well.

    If it does not, nothing is left. OutputError if there is something at ``path`` already.
    """
    part = path.with_name(path.name + PART)
    if os.path.lexists(path):
        raise OutputError(
            f"{path} is there already, and nothing is overwritten: remove it, or name another "
            "folder with --output"
        )
    try:
        part.mkdir(parents=True)
    except FileExistsError as error:
        raise OutputError(
            f"{part} is there already: another export is writing it, or one was killed; then "
            "remove it"
        ) from error
    try:
        yield part / path.name
        (part / path.name).rename(path)
    finally:
        shutil.rmtree(part)

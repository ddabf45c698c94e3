"""The folder that a recorder has made, and fills as long as it is that one.

A path may come to name something else while it is written to: somebody renames the folder and puts
another, or a link to another, in its place. So files are made relative to the folder that was
opened, by way of ``/proc`` (proc(5)), and never in what has taken its name since.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from vla_inference_ros.recording import in_use
from vla_inference_ros.recording.appending import stands

_PLACE = "/proc/self/fd"


class OwnFolder:
    """Is locked until it is closed. ``place`` is the path to make files by, ``path`` that for
    people.
    """

    def __init__(self, path: Path) -> None:
        """OSError if there is no folder, or a link to one."""
        self.path = path
        self._descriptor = in_use.lock(path)
        self.place = Path(_PLACE, str(self._descriptor))

    def is_there(self) -> bool:
        """Whether its path still names it: it was not removed, renamed, replaced or unmounted."""
        return stands(self.path, self._descriptor)

    def inner(self, name: str) -> OwnFolder:
        """A folder in it, which is made if it is not there. OSError if a link is."""
        path = self.place / name
        path.mkdir(exist_ok=True)
        return OwnFolder(path)

    def discard(self) -> None:
        """Close it, and leave nothing of it: of one that could not be begun."""
        for file in self.place.iterdir():
            file.unlink()
        if self.is_there():
            self.path.rmdir()
        self.close()

    def close(self) -> None:
        """Leave it, and whatever is in it, to others."""
        os.close(self._descriptor)


def in_words(error: Exception) -> str:
    """An error, with the names of files in such a folder as people know them."""
    return re.sub(rf"{_PLACE}/\d+/", "", str(error))

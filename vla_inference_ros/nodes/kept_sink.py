"""The folder that a recorder fills, and the next one as often as that is gone.

A folder can be removed, renamed or replaced, and a disk unmounted, under a recorder's hands. What
it writes then goes nowhere, often without an error, so that it looks now and then. It goes on in a
new folder beside it, or where it was, once one can be made.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from vla_inference_ros.nodes.logger import PrintableLogger
from vla_inference_ros.nodes.losses import Losses
from vla_inference_ros.recording.own_folder import in_words

LOOK_PERIOD = 0.5  # between two looks at the folder and its disk's free space [s]
_MB = 1e6


class Sink(Protocol):
    """Where items go; for one thread."""

    folder: Path

    @property
    def pending(self) -> Counter[str]:
        """Items that it has taken and not handed to the system yet, by kind."""

    def save(self, item: Any) -> None:
        """Take an item. OSError if the disk does not, with EFBIG if it never will; ValueError if
        the item is not fit.
        """

    def flush(self) -> None:
        """Hand to the system what has been taken; OSError if it does not take it yet."""

    def is_there(self) -> bool:
        """Whether its files still stand where they were made."""

    def close(self, lost: Mapping[str, str]) -> None:
        """Finish all files, and keep with them what is ``lost``: a word to each kind of items.
        OSError if that cannot be done.
        """


class KeptSink:
    """Makes sinks, one after the other. For one thread."""

    def __init__(
        self,
        output_dir: Path,
        make: Callable[[Path, float], Sink],
        losses: Losses,
        logger: PrintableLogger,
    ) -> None:
        """``make`` gets ``output_dir`` and the time [Unix s]; OSError if it cannot."""
        self._output_dir, self._make = output_dir, make
        self._losses, self._logger = losses, logger
        self.sink = make(output_dir, time.time())
        self.left: list[Path] = []  # folders that are gone
        self.why_gone = ""  # that of the sink, until there is another
        self.free = float("inf")  # on its disk [MB]
        self._next_look = 0.0

    @property
    def folder(self) -> Path:
        """That is filled, or was last."""
        return self.sink.folder

    def is_ready(self) -> bool:
        """Whether there is a folder to fill; in place of one that is gone, a new one is made."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_PERIOD
            if not self.why_gone:
                self.look()
            if self.why_gone:
                self._renew()
        return not self.why_gone

    def look(self) -> bool:
        """Whether the folder is still there, as of now."""
        try:
            found = self.sink.is_there()
            self.free = shutil.disk_usage(self.folder).free / _MB
        except OSError as error:
            self._leave(str(error))
        else:
            if not found:
                self._leave("removed, renamed or replaced?")
        return not self.why_gone

    def close(self) -> None:
        """Finish the sink, with what is told of its losses; OSError if that cannot be done, and
        what is lost by it is counted.
        """
        try:
            self.sink.close(self._losses.told())
        except OSError:
            self._losses.add_unwritten(self.folder, self.sink.pending)
            raise

    def _leave(self, why: str) -> None:
        self.why_gone = why
        self.left.append(self.folder)
        self._logger.error(
            f"{self.folder} is gone ({why}), and with it perhaps what was saved there. What comes "
            f"now waits in memory until a new folder can be made in {self._output_dir}"
        )
        try:  # of one that was renamed, the files are complete then
            self.close()
        except Exception as error:  # whatever is left of it
            self._logger.warning(
                f"{self.folder} is not finished ({in_words(error)}): if it is found again, run "
                "vla-recover on it"
            )
        self._losses.leave(self.folder)

    def _renew(self) -> None:
        try:
            self.sink = self._make(self._output_dir, time.time())
        except OSError as error:
            self.why_gone = in_words(error)
            return
        self.why_gone = ""
        self._logger.warning(f"saving goes on in {self.folder}, after {self.left[-1]}")

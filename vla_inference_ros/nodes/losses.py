"""What a recorder has not saved, by kind, and which of its folders does not hold it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from vla_inference_ros.nodes.stream import Stream

LOST_ON_DISK = "lost, disk"


class Losses:
    """What its streams have counted as problems: each is of something that had come, or was on the
    way, and is not saved.
    """

    def __init__(self, kinds: Mapping[str, Stream]) -> None:
        self._kinds = kinds
        self._before = {kind: Counter[str]() for kind in kinds}  # the folder that is filled
        self._former: list[tuple[Path, dict[str, str]]] = []
        self.unwritten: Counter[str] = Counter()  # that had been accepted, by kind

    def told(self) -> dict[str, str]:
        """A word to each kind of which the folder that is filled lacks anything."""
        now = self._problems()
        new = {kind: now[kind] - self._before[kind] for kind in now}
        return {
            kind: ", ".join(f"{count} {what}" for what, count in counts.items())
            for kind, counts in new.items()
            if counts
        }

    def add_unwritten(self, folder: Path, pending: Mapping[str, int]) -> None:
        """Count what ``folder`` had taken, and could not be finished with."""
        self.unwritten.update(pending)
        for kind, count in pending.items():
            what = f"{count} were not on the disk of {folder} yet"
            self._kinds[kind].problem(LOST_ON_DISK, what, count)

    def leave(self, folder: Path) -> None:
        """What is lost from now on is none of ``folder``'s."""
        if told := self.told():
            self._former.append((folder, told))
        self._before = self._problems()

    def of(self, folder: Path) -> list[tuple[Path, dict[str, str]]]:
        """Every folder that lacks something, with a word to each kind; ``folder`` is the last."""
        told = self.told()
        return [*self._former, *([(folder, told)] if told else [])]

    def _problems(self) -> dict[str, Counter[str]]:
        return {kind: Counter(stream.tally.read().problems) for kind, stream in self._kinds.items()}

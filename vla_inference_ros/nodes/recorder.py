"""Recorder node: what bridges and action expert publish, into a run folder, while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_inference_ros.nodes.recorded_topics import RecordedTopics
from vla_inference_ros.nodes.saving import (
    DATA,
    PICTURES,
    RESULTS,
    Item,
    SavingConfig,
    SavingNode,
)
from vla_inference_ros.nodes.vla_node import run
from vla_inference_ros.recording.run_folder import RunWriter

_RANKS = {"frames": PICTURES, "robot": DATA, "sensor": DATA, "results": RESULTS}


@dataclass(frozen=True, slots=True)
class RecorderConfig(SavingConfig):
    """Parameters of the recorder."""


class Recorder(SavingNode[RecorderConfig]):
    """Writes ``async_inference_<start>/`` in ``output_dir``."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("recorder", RecorderConfig, _RANKS, **node_arguments)
        self.begin("run folder", _RunFolder, lambda: RecordedTopics(self, self.kinds))


class _RunFolder:
    """The run folder as a sink."""

    def __init__(self, output_dir: Path, start: float) -> None:
        self._run = RunWriter(output_dir, start)
        self.folder = self._run.folder
        self.pending: Counter[str] = Counter()  # all is with the system at once
        self._add: dict[str, Callable[[Any], None]] = {
            "frames": self._run.add_frame,
            "robot": self._run.add_state,
            "sensor": self._run.add_samples,
            "results": self._run.add_result,
        }

    def save(self, item: Item) -> None:
        self._add[item.kind](item.content)

    def flush(self) -> None:
        """All is with the system already."""

    def is_there(self) -> bool:
        return self._run.is_there()

    def close(self) -> None:
        self._run.close()


def main() -> int:
    """Run the node."""
    return run(Recorder)

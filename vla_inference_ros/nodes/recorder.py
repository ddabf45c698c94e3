"""Recorder node: what bridges and action expert publish, into a run folder, while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.recorded_topics import RecordedTopics
from vla_inference_ros.nodes.saving import (
    DATA,
    PICTURES,
    RESULTS,
    Item,
    SavingConfig,
    SavingNode,
    most_bytes,
)
from vla_inference_ros.nodes.vla_node import run
from vla_inference_ros.recording.appending import MOST_BYTES
from vla_inference_ros.recording.run_folder import RunWriter

_RANKS = {"frames": PICTURES, "robot": DATA, "sensor": DATA, "results": RESULTS}
_UNITS = {
    "frames": "pictures",
    "robot": "robot states",
    "sensor": "sensor samples",
    "results": "action chunks",
}


@dataclass(frozen=True, slots=True)
class RecorderConfig(SavingConfig):
    """Parameters of the recorder."""

    max_file_size: int = parameter(
        MOST_BYTES,
        "size of a file over which what comes next goes into another [bytes]; 0 for any size",
        minimum=0,
        maximum=10**12,
    )


class Recorder(SavingNode[RecorderConfig]):
    """Writes ``async_inference_<start>/`` in ``output_dir``."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("recorder", RecorderConfig, _RANKS, _UNITS, **node_arguments)
        most = most_bytes("max_file_size", self.config.max_file_size)
        self.begin(
            "run folder", partial(_RunFolder, most), lambda: RecordedTopics(self, self.kinds)
        )


class _RunFolder:
    """The run folder as a sink."""

    def __init__(self, most_bytes: float, output_dir: Path, start: float) -> None:
        self._run = RunWriter(output_dir, start, most_bytes)
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

    def close(self, lost: Mapping[str, str]) -> None:
        self._run.close(lost)


def main() -> int:
    """Run the node."""
    return run(Recorder)

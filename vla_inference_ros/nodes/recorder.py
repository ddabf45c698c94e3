"""Recorder node: what the bridges and the action expert publish, into a run folder, while it runs.

One thread reads the topics, the other writes; between them waits what the disk is too slow for.
"""

from __future__ import annotations

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.recorded_topics import Item, RecordedTopics
from vla_inference_ros.nodes.vla_node import StartError, Stream, VlaNode, run
from vla_inference_ros.recording.backlog import Backlog
from vla_inference_ros.recording.run_folder import RunWriter

_READ_PERIOD = 0.05  # between two looks at the topics [s]
_LAST_LOOK = 0.3  # that long it still reads when it is to stop: what is on its way [s]
_DISK_PERIOD = 0.5  # between two looks at the disk's free space [s]
_RETRY_PERIOD = 0.5  # between two attempts to write results that the disk did not take [s]
_MB = 1e6


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of the recorder."""

    output_dir: str = parameter(".", "folder in which the run folder is made")
    buffer_mb: float = parameter(
        256.0,
        "what may wait in memory for a slow disk; of it half for pictures [MB]",
        minimum=1.0,
        maximum=1e6,
    )
    reserve_mb: float = parameter(
        500.0,
        "free space on the disk under which pictures are dropped; samples and robot states under "
        "a quarter of it, results never [MB]",
        minimum=0.0,
        maximum=1e9,
    )


@dataclass(frozen=True, slots=True)
class _Rank:
    """What a kind of items may take: of the buffer, and of the disk's reserve."""

    share: float
    reserve: float


_RANKS = {
    "frames": _Rank(0.5, 1.0),
    "robot": _Rank(1.0, 0.25),
    "sensor": _Rank(1.0, 0.25),
    "results": _Rank(math.inf, 0.0),
}


class Recorder(VlaNode[RecorderConfig]):
    """Writes ``async_inference_<start>/`` in ``output_dir``."""

    stop_time = 4.0  # to write what waits

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("recorder", RecorderConfig, **node_arguments)
        config = self.config
        try:
            self._run = RunWriter(Path(config.output_dir).expanduser(), time.time())
        except OSError as error:
            raise StartError(
                f"parameter 'output_dir': cannot make a run folder in {config.output_dir}: {error}"
            ) from error
        self._kinds: dict[str, Stream] = {kind: self.add_stream(kind) for kind in _RANKS}
        self._topics = RecordedTopics(self, self._kinds)
        self._backlog: Backlog[Item] = Backlog(round(config.buffer_mb * _MB))
        self._write_item: dict[str, Callable[[Any], None]] = {
            "frames": self._run.add_frame,
            "robot": self._run.add_state,
            "sensor": self._run.add_samples,
            "results": self._run.add_result,
        }
        self._free, self._next_look = math.inf, 0.0
        self._bytes = 0
        # In this order they are stopped: nothing is read any more when the writer finishes.
        self.add_worker("reader", self._read)
        self.add_worker("writer", self._write)
        self.get_logger().info(f"saving to {self._run.folder}")

    def release(self) -> None:
        """Say what has been saved."""
        lines = [f"saved {self._bytes / _MB:.1f} MB in {self._run.folder}"]
        for kind, stream in self._kinds.items():
            reading = stream.tally.read()
            problems = [f"{count} {what}" for what, count in reading.problems.items()]
            lines.append(f"{reading.accepted} {kind}" + "".join(f", {text}" for text in problems))
        lines.append(f"at most {self._backlog.most_bytes / _MB:.1f} MB waited for the disk")
        self.get_logger().info("\n  ".join(lines))

    def _read(self, stopping: threading.Event) -> None:
        while not stopping.wait(_READ_PERIOD):
            self._take_in()
        end = time.monotonic() + _LAST_LOOK
        while time.monotonic() < end:
            self._take_in()
            time.sleep(_READ_PERIOD)
        self._take_in(all_of_it=True)

    def _take_in(self, all_of_it: bool = False) -> None:
        for item in self._topics.take(all_of_it):
            if not self._backlog.put(item, item.size, _RANKS[item.kind].share):
                self._kinds[item.kind].problem(
                    "dropped, slow disk",
                    f"more than {self.config.buffer_mb:g} MB wait to be written: is the disk of "
                    f"{self._run.folder} too slow, or at its end?",
                )

    def _write(self, stopping: threading.Event) -> None:
        for item in self._items(stopping):
            if self._has_room(item):
                self._save(item, stopping)
        self._run.close()

    def _items(self, stopping: threading.Event) -> Iterator[Item]:
        """All that comes, until it is to stop and nothing waits any more."""
        while True:
            item = self._backlog.take(_READ_PERIOD)
            if item is not None:
                yield item
            elif stopping.is_set():
                return

    def _has_room(self, item: Item) -> bool:
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _DISK_PERIOD
            self._free = shutil.disk_usage(self._run.folder).free / _MB
        if self._free >= _RANKS[item.kind].reserve * self.config.reserve_mb:
            return True
        self._kinds[item.kind].problem(
            "dropped, full disk",
            f"only {self._free:.0f} MB are free for {self._run.folder}: make room, or set another "
            "output_dir",
        )
        return False

    def _save(self, item: Item, stopping: threading.Event) -> None:
        """Write one item; results again and again until the disk takes them."""
        stream = self._kinds[item.kind]
        while True:
            try:
                self._write_item[item.kind](item.content)
            except ValueError as error:
                stream.problem("not fit to be saved", str(error))
                return
            except OSError as error:
                if item.kind == "results" and not stopping.is_set():
                    stream.warn("disk", f"cannot write to {self._run.folder}: {error}; trying on")
                    stopping.wait(_RETRY_PERIOD)
                    continue
                stream.problem("lost, disk", f"cannot write to {self._run.folder}: {error}")
                return
            stream.accept(item.stamp, item.count)
            self._bytes += item.size
            return


def main() -> int:
    """Run the node."""
    return run(Recorder)

"""What both recorders share: one thread reads the topics, the other writes to the disk, and between
them waits what the disk is too slow for. Neither ever holds up who publishes.
"""

from __future__ import annotations

import errno
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vla_inference_ros.nodes.kept_sink import KeptSink, Sink
from vla_inference_ros.nodes.losses import LOST_ON_DISK, Losses
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.threads import ThreadConfig, priority_parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode
from vla_inference_ros.recording.backlog import Backlog
from vla_inference_ros.recording.own_folder import in_words

_READ_PERIOD = 0.05  # between two looks at the topics [s]
_LAST_LOOK = 0.3  # that long it still reads when it is to stop: what is on its way [s]
_FLUSH_PERIOD = 0.5  # of what a killed recorder loses, with the time to write it [s]
_RETRY_PERIOD = 0.5  # between two attempts to write what the disk did not take [s]
_LEAST_RESERVE = 16.0  # that pictures and data leave for results, whatever is asked for [MB]
NO_FOLDER = "no folder to save to"
_LEAST_FILE = 1_000_000  # of which definitions and the end of a bag's file are a tenth [bytes]
_MB = 1e6


@dataclass(frozen=True, slots=True)
class SavingConfig(ThreadConfig):
    """Parameters of every recorder."""

    realtime_priority: int = priority_parameter(3)  # under all that the chunks depend on
    output_dir: str = parameter(".", "folder in which the recorder makes its own")
    buffer_mb: float = parameter(
        256.0,
        "what may wait in memory for a slow disk; of it half for pictures [MB]",
        minimum=1.0,
        maximum=1e6,
    )
    reserve_mb: float = parameter(
        500.0,
        "free space on the disk under which pictures are dropped, and under a quarter of it all "
        "else but results [MB]; 16 are left for these in any case",
        minimum=0.0,
        maximum=1e9,
    )


Config = TypeVar("Config", bound=SavingConfig)


@dataclass(frozen=True, slots=True)
class Rank:
    """What a kind of items may take: of the buffer, and of the disk's reserve. What may take the
    whole reserve is written again and again until the disk takes it.
    """

    share: float
    reserve: float


PICTURES, DATA, RESULTS = Rank(0.5, 1.0), Rank(1.0, 0.25), Rank(math.inf, 0.0)


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be saved: ``count`` things of a ``kind``, ``size`` [bytes] of them, the newest
    acquired at ``stamp`` [Unix s].
    """

    kind: str
    content: Any
    size: int
    stamp: float
    count: int = 1


def most_bytes(name: str, value: int) -> float:
    """How large a file may become, by a parameter of a recorder. Raises StartError."""
    if 0 < value < _LEAST_FILE:
        raise StartError(
            f"parameter {name!r} is {value} bytes, which few pictures fill: it is to be at least "
            f"{_LEAST_FILE}, or 0 for any size"
        )
    return value or math.inf


class Source(Protocol):
    """Where items come from; for one thread."""

    def take(self, all_of_it: bool = False) -> Iterator[Item]:
        """What has come since the last call; at the end ``all_of_it``, also what would wait."""


class SavingNode(VlaNode[Config]):
    """Carries items of several kinds from a source to a sink, and counts what gets lost."""

    stop_time = 4.0  # to write what waits

    def __init__(
        self,
        name: str,
        config_type: type[Config],
        ranks: Mapping[str, Rank],
        units: Mapping[str, str],
        **node_arguments: Any,
    ) -> None:
        """``ranks`` and ``units``, what one of them is called in the end, are by kind."""
        super().__init__(name, config_type, **node_arguments)
        self._ranks, self._units = ranks, units
        self.kinds: dict[str, Stream] = {kind: self.add_stream(kind) for kind in ranks}
        self._losses = Losses(self.kinds)
        self._backlog: Backlog[Item] = Backlog(round(self.config.buffer_mb * _MB))
        self._next_flush = 0.0
        self._bytes = 0
        self._ended = False  # the writer, whether it could finish or not
        self._is_finished = False

    def begin(
        self, what: str, make_sink: Callable[[Path, float], Sink], make_source: Callable[[], Source]
    ) -> None:
        """Save to what ``make_sink`` makes in ``output_dir`` for a run that starts at a time
        [Unix s]. Raises StartError.
        """
        output_dir = Path(self.config.output_dir).expanduser()
        try:
            self._kept = KeptSink(output_dir, make_sink, self._losses, self.get_logger())
        except OSError as error:
            raise StartError(
                f"parameter 'output_dir': cannot make a {what} in {self.config.output_dir}: "
                f"{in_words(error)}"
            ) from error
        self._source = make_source()
        # In this order they are stopped: nothing is read any more when the writer finishes.
        self.add_worker("reader", self._read)
        self.add_worker("writer", self._write)
        self.get_logger().info(f"saving to {self._kept.folder}")

    def release(self) -> None:
        """Say what has been saved, and what not."""
        if not self._ended:  # nor will it be before the process ends
            while item := self._backlog.take(0.0):
                why = f"the disk of {self._kept.folder} has not taken it in time"
                self.kinds[item.kind].problem(LOST_ON_DISK, why, item.count)
        folder, unwritten = self._kept.folder, self._losses.unwritten
        lines = [f"saved {self._bytes / _MB:.1f} MB in {folder}"]
        lines += [f"of it some in {left}, which is gone" for left in self._kept.left]
        for kind, stream in self.kinds.items():
            reading = stream.tally.read()
            problems = [f"{count} {what}" for what, count in reading.problems.items()]
            saved = reading.accepted - unwritten[kind]
            lines.append(f"{saved} {self._units[kind]}" + "".join(f", {text}" for text in problems))
        lines.append(f"at most {self._backlog.most_bytes / _MB:.1f} MB waited for the disk")
        self.get_logger().info("\n  ".join(lines))
        if not self._ended:
            self.get_logger().error(
                f"{folder} was not finished, and what still waited is lost: run vla-recover on it"
            )
        incomplete = self._losses.of(folder)
        if not self._is_finished or incomplete:
            self.exit_status = 1
        for each, told in incomplete:
            text = "; ".join(f"{kind}: {what}" for kind, what in told.items())
            self.get_logger().error(f"{each} does not hold all that came: {text}")

    def _read(self, stopping: threading.Event) -> None:
        while not stopping.wait(_READ_PERIOD):
            self._take_in()
        end = time.monotonic() + _LAST_LOOK
        while time.monotonic() < end:
            self._take_in()
            time.sleep(_READ_PERIOD)
        self._take_in(all_of_it=True)

    def _take_in(self, all_of_it: bool = False) -> None:
        try:
            for item in self._source.take(all_of_it):
                self._put(item)
        except Exception as error:  # of one message; what comes after it is read
            self.refuse(error)

    def _put(self, item: Item) -> None:
        if self._backlog.put(item, item.size, self._ranks[item.kind].share):
            return
        waits = f"more than {self.config.buffer_mb:g} MB wait to be written"
        if self._kept.why_gone:
            self.kinds[item.kind].problem("dropped, no folder", f"{waits} to a new folder")
        else:
            self.kinds[item.kind].problem(
                "dropped, slow disk",
                f"{waits}: is the disk of {self._kept.folder} too slow, or at its end?",
            )

    def _write(self, stopping: threading.Event) -> None:
        """All that comes, until it is to stop and nothing waits any more."""
        item: Item | None = None
        while True:
            if not self._has_folder():
                if stopping.is_set():
                    break
                stopping.wait(_RETRY_PERIOD)
                continue
            item = item or self._backlog.take(_READ_PERIOD)
            if item is None and stopping.is_set():
                break
            if item is not None and self._is_dealt_with(item, stopping):
                item = None
            self._flush()
        while item := item or self._backlog.take(0.0):
            self.kinds[item.kind].problem("lost, no folder", self._kept.why_gone, item.count)
            item = None
        self._finish()

    def _has_folder(self) -> bool:
        ready = self._kept.is_ready()
        first = next(iter(self.kinds.values()))
        first.troubles.keep(NO_FOLDER, not ready)
        if not ready:
            first.warn(NO_FOLDER, f"{NO_FOLDER}: {self._kept.why_gone}; trying on")
        return ready

    def _finish(self) -> None:
        try:
            if not self._kept.why_gone:
                self._kept.close()
            self._is_finished = True
        except OSError as error:
            self.get_logger().error(
                f"cannot finish {self._kept.folder}: {in_words(error)}. Make room on its "
                "disk, then vla-recover finishes it"
            )
        self._ended = True

    def _is_dealt_with(self, item: Item, stopping: threading.Event) -> bool:
        """Write one item, or drop it; False if it is to be tried again: of results until the disk
        takes them, and while the folder is gone.
        """
        if not self._has_room(item):
            return True
        stream = self.kinds[item.kind]
        try:
            self._kept.sink.save(item)
        except ValueError as error:
            stream.problem("not fit to be saved", str(error))
        except OSError as error:
            if not self._kept.look():
                return False
            is_result = self._ranks[item.kind] is RESULTS
            # What is more than any file may hold would be in the others' way for ever.
            if is_result and error.errno != errno.EFBIG and not stopping.is_set():
                self._warn(item.kind, error)
                stopping.wait(_RETRY_PERIOD)
                return False
            stream.problem(LOST_ON_DISK, self._cannot_write(error))
        except Exception as error:  # of one item; the next ones are saved
            stream.refuse(error)
        else:
            stream.accept(item.stamp, item.count)
            self._bytes += item.size
        return True

    def _has_room(self, item: Item) -> bool:
        rank, free = self._ranks[item.kind], self._kept.free
        wanted = rank.reserve * self.config.reserve_mb
        if rank is not RESULTS:
            wanted = max(wanted, _LEAST_RESERVE)
        if free >= wanted:
            return True
        self.kinds[item.kind].problem(
            "dropped, full disk",
            f"only {free:.0f} MB are free for {self._kept.folder}: make room, or set another "
            "output_dir",
        )
        return False

    def _flush(self) -> None:
        now = time.monotonic()
        if now < self._next_flush:
            return
        self._next_flush = now + _FLUSH_PERIOD
        try:
            self._kept.sink.flush()
        except OSError as error:
            self._warn(next(iter(self.kinds)), error)

    def _warn(self, kind: str, error: OSError) -> None:
        self.kinds[kind].warn("disk", f"{self._cannot_write(error)}; trying on")

    def _cannot_write(self, error: OSError) -> str:
        return f"cannot write to {self._kept.folder}: {in_words(error)}"

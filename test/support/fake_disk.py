"""A node that saves, between topics and a disk that do what a test tells them."""

from __future__ import annotations

import errno
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.parameter import Parameter

from vla_inference_ros.nodes.saving import DATA, PICTURES, RESULTS, Item, SavingConfig, SavingNode

TIMEOUT = 10.0  # [s]
RANKS = {"frames": PICTURES, "sensor": DATA, "results": RESULTS}


class Disk:
    """A sink that takes items, or does not, as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = False
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.tried: list[Item] = []
        self.saved: list[Item] = []
        self.flushed = self.closed = 0
        self.pending: Counter[str] = Counter()
        self.gone = False
        self.told: dict[str, str] = {}

    def save(self, item: Item) -> None:
        self.tried.append(item)
        self.may_go_on.wait(TIMEOUT)
        if item.content == "unfit":
            raise ValueError("it is not fit")
        if item.content == "a surprise":
            raise KeyError("nobody thought of it")
        self._check()
        self.saved.append(item)

    def flush(self) -> None:
        self._check()
        self.flushed += 1

    def close(self, lost: Mapping[str, str]) -> None:
        self._check()
        self.closed += 1
        self.told = dict(lost)

    def is_there(self) -> bool:
        return not self.gone

    def _check(self) -> None:
        if self.gone:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        if self.broken:
            raise OSError(errno.ENOSPC, "No space left on device")


class Topics:
    """A source of what it is given."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.asked_for_all = False

    def take(self, all_of_it: bool = False) -> Iterator[Item]:
        self.asked_for_all |= all_of_it
        while self.items:
            item = self.items.pop(0)
            if item.content == "unreadable":
                raise KeyError("nobody thought of it")
            yield item


class Bench:
    """A node that saves what the topics give to the disk."""

    def __init__(self, folder: Path, **parameters: float) -> None:
        self.disk, self.topics = Disk(folder), Topics()
        self.next_disks: list[Disk] = []  # for when that is gone
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = SavingNode(
            "saver",
            SavingConfig,
            RANKS,
            {kind: kind for kind in RANKS},
            parameter_overrides=overrides,
        )
        disks = iter([self.disk])

        def make(*_: object) -> Disk:
            if disk := next(disks, None):
                return disk
            if self.next_disks:
                return self.next_disks.pop(0)
            raise OSError(errno.ENODEV, "No such device")

        self.node.begin("thing", make, lambda: self.topics)

    def problems(self, kind: str) -> dict[str, int]:
        return dict(self.node.kinds[kind].tally.read().problems)


@contextmanager
def benches(folder: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches from their nodes' parameters, all saving to ``folder``; closes them."""
    made: list[Bench] = []

    def one(**parameters: float) -> Bench:
        made.append(Bench(folder, **{"reserve_mb": 0.0, **parameters}))
        return made[-1]

    rclpy.init()
    try:
        yield one
    finally:
        for bench in made:
            bench.disk.may_go_on.set()
            bench.node.close()
        rclpy.shutdown()


def item(kind: str, size: int = 1, content: str = "") -> Item:
    return Item(kind, content, size, 1.7e9)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for has not come about"
        time.sleep(0.01)

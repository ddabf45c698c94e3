"""What both recorders do about a disk that is slow or full, and about messages that got lost."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from rclpy.parameter import Parameter

from vla_inference_ros.nodes.saving import (
    DATA,
    PICTURES,
    RESULTS,
    Item,
    NumberedInbox,
    SavingConfig,
    SavingNode,
)
from vla_inference_ros.nodes.vla_node import StartError

TIMEOUT = 10.0  # [s]
RANKS = {"frames": PICTURES, "sensor": DATA, "results": RESULTS}
MB = 1_000_000


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

    def save(self, item: Item) -> None:
        self.tried.append(item)
        self.may_go_on.wait(TIMEOUT)
        if item.content == "unfit":
            raise ValueError("it is not fit")
        self._check()
        self.saved.append(item)

    def flush(self) -> None:
        self._check()
        self.flushed += 1

    def close(self) -> None:
        self._check()
        self.closed += 1

    def _check(self) -> None:
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
            yield self.items.pop(0)


class Bench:
    def __init__(self, tmp_path: Path, **parameters: float) -> None:
        self.disk, self.topics = Disk(tmp_path), Topics()
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = SavingNode("saver", SavingConfig, RANKS, parameter_overrides=overrides)
        self.node.begin("thing", lambda *_: self.disk, lambda: self.topics)

    def problems(self, kind: str) -> dict[str, int]:
        return dict(self.node.kinds[kind].tally.read().problems)


def item(kind: str, size: int = 1, content: str = "") -> Item:
    return Item(kind, content, size, 1.7e9)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for has not come about"
        time.sleep(0.01)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def one(**parameters: float) -> Bench:
        made.append(Bench(tmp_path, **{"reserve_mb": 0.0, **parameters}))
        return made[-1]

    rclpy.init()
    yield one
    for bench in made:
        bench.disk.may_go_on.set()
        bench.node.close()
    rclpy.shutdown()


def test_all_is_saved_and_flushed_and_closed(make: Callable[..., Bench]) -> None:
    bench = make()
    given = [item("frames"), item("sensor"), item("results")]
    bench.topics.items += given
    until(lambda: bench.disk.saved == given)
    until(lambda: bench.disk.flushed >= 2)  # also when nothing comes
    bench.topics.items.append(item("sensor"))
    assert bench.node.stop_workers(TIMEOUT)
    assert bench.topics.asked_for_all
    assert len(bench.disk.saved) == 4
    assert bench.disk.closed == 1


def test_a_disk_that_takes_nothing_is_tried_again_for_results_only(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.disk.broken = True
    bench.topics.items += [item("frames"), item("sensor"), item("results")]
    until(lambda: len(bench.disk.tried) >= 4)
    bench.disk.broken = False
    until(lambda: bench.disk.saved)
    assert [each.kind for each in bench.disk.saved] == ["results"]
    assert bench.problems("frames") == bench.problems("sensor") == {"lost, disk": 1}
    assert bench.problems("results") == {}


def test_a_disk_that_stays_full_does_not_keep_it_from_stopping(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.disk.broken = True
    bench.topics.items += [item("results"), item("results")]
    until(lambda: bench.disk.tried)
    assert bench.node.stop_workers(TIMEOUT)
    assert bench.node.failure is None
    assert bench.problems("results") == {"lost, disk": 2}
    assert "vla-recover finishes it" in capfd.readouterr().err


def test_what_the_disk_has_not_taken_in_time_is_told(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    monkeypatch.setattr(bench.node, "stop_time", 0.1)
    bench.disk.may_go_on.clear()
    bench.topics.items.append(item("results"))
    until(lambda: bench.disk.tried)
    bench.node.close()
    assert (
        "was not finished, and what still waited is lost: run vla-recover" in capfd.readouterr().err
    )
    bench.disk.may_go_on.set()
    until(lambda: bench.disk.closed)


def test_a_slow_disk_costs_pictures_first_and_results_never(make: Callable[..., Bench]) -> None:
    bench = make(buffer_mb=1.0)
    bench.disk.may_go_on.clear()
    bench.topics.items.append(item("sensor"))
    until(lambda: bench.disk.tried)  # and held up with it
    bench.topics.items += [item("frames", MB // 2), item("frames", MB // 2)]
    bench.topics.items += [item("sensor", MB // 2), item("sensor", MB // 2)]
    bench.topics.items += [item("results", MB), item("results", MB)]
    until(lambda: not bench.topics.items)
    bench.disk.may_go_on.set()
    kinds = ["sensor", "frames", "sensor", "results", "results"]
    until(lambda: [each.kind for each in bench.disk.saved] == kinds)
    assert bench.problems("frames") == bench.problems("sensor") == {"dropped, slow disk": 1}
    assert bench.problems("results") == {}


@pytest.mark.parametrize(("free", "saved"), [(400, 3), (399, 2), (100, 2), (99, 1), (0, 1)])
def test_a_full_disk_costs_pictures_first_and_results_never(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, free: int, saved: int
) -> None:
    usage = SimpleNamespace(free=free * MB)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    bench = make(reserve_mb=400.0)
    given = [item("frames"), item("sensor"), item("results")]
    bench.topics.items += given
    until(lambda: given[2] in bench.disk.saved)
    assert bench.disk.saved == given[3 - saved :]
    dropped = [kind for kind in RANKS if bench.problems(kind) == {"dropped, full disk": 1}]
    assert len(dropped) == 3 - saved


def test_what_is_not_fit_is_counted(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.topics.items += [item("results", content="unfit"), item("results")]
    until(lambda: len(bench.disk.saved) == 1)
    assert bench.problems("results") == {"not fit to be saved": 1}


def test_a_folder_that_cannot_be_made_keeps_it_from_starting(
    make: Callable[..., Bench],
) -> None:
    def cannot(*_: Any) -> Disk:
        raise OSError(errno.EACCES, "Permission denied")

    node = make().node
    with pytest.raises(StartError, match=r"'output_dir': cannot make a thing in .: .*Perm"):
        node.begin("thing", cannot, Topics)


class Numbered:
    """An inbox with messages of some numbers."""

    topic = "/topic"

    def __init__(self, *numbers: int, publishers: int = 1) -> None:
        self.numbers, self.publishers = numbers, publishers

    def count_publishers(self) -> int:
        return self.publishers

    def take_with_info(self) -> list[tuple[str, dict[str, int]]]:
        return [
            ("message", {"publication_sequence_number": number, "source_timestamp": number})
            for number in self.numbers
        ]


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [((5, 6, 7), 0), ((1, 2, 4), 1), ((3, 7, 8, 10), 4), ((9, 1, 2), 0), ((9, 1, 3), 1), ((), 0)],
)
def test_messages_that_never_arrived_are_counted(
    make: Callable[..., Bench], numbers: tuple[int, ...], lost: int
) -> None:
    node = make().node
    for shared in (True, False):
        inbox: Any = Numbered(*numbers)
        taken = list(NumberedInbox(node, inbox, node.kinds["sensor"], shared=shared).take())
        assert taken == [("message", number) for number in numbers]
        told = {"lost on the way": lost} if lost and not shared else {}
        assert dict(node.kinds["sensor"].tally.read().problems) == told


def test_of_several_publishers_it_is_warned_and_nothing_is_counted(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    node = make().node
    inbox: Any = Numbered(900, 3, 901, 4, publishers=2)
    list(NumberedInbox(node, inbox, node.kinds["sensor"]).take())
    assert dict(node.kinds["sensor"].tally.read().problems) == {}
    assert "sensor: 2 nodes publish /topic, and all is saved" in capfd.readouterr().err

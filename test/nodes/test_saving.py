"""What both recorders do about a disk that is slow or full, and about a surprise."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_disk import RANKS, TIMEOUT, Bench, Disk, Topics, benches, item, until

from vla_inference_ros.nodes.saving import Item
from vla_inference_ros.nodes.vla_node import StartError

MB = 1_000_000


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


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
    bench.topics.items += [item("results"), item("results"), item("sensor")]
    until(lambda: bench.disk.tried)
    bench.node.close()
    assert bench.problems("results") == bench.problems("sensor") == {"lost, disk": 1}
    assert bench.node.exit_status == 1
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


# --- what nobody thought of


def test_an_unexpected_error_costs_one_item_and_is_counted_by_its_type(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.topics.items += [item("results", content="a surprise"), item("results")]
    until(lambda: len(bench.disk.saved) == 1)
    assert bench.problems("results") == {"unexpected KeyError": 1}
    bench.topics.items += [item("results", content="unreadable"), item("results")]
    until(lambda: len(bench.disk.saved) == 2)
    assert bench.node.failure is None
    said = capfd.readouterr().err
    assert "because of a KeyError in fake_disk.py, line " in said
    assert "callbacks: a message is not used" in said


def test_what_was_taken_but_is_not_on_a_full_disk_in_the_end_is_told(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.topics.items += [item("results"), item("results")]
    until(lambda: len(bench.disk.saved) == 2)
    bench.disk.pending["results"] = 2
    bench.disk.broken = True
    bench.node.close()
    assert bench.problems("results") == {"lost, disk": 2}
    assert bench.node.exit_status == 1
    assert "0 results, 2 lost, disk" in capfd.readouterr().err


def test_without_a_reserve_some_is_left_for_results_all_the_same(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=15 * MB))
    bench = make(reserve_mb=0.0)
    bench.topics.items += [item("frames"), item("sensor"), item("results")]
    until(lambda: bench.disk.saved)
    assert [each.kind for each in bench.disk.saved] == ["results"]


# --- files that may grow no more, and what is said in the end


def test_a_result_that_no_file_may_hold_is_not_in_the_others_way(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    save = bench.disk.save

    def refuse(given: Item) -> None:
        if given.content == "huge":
            raise OSError(errno.EFBIG, "File too large")
        save(given)

    monkeypatch.setattr(bench.disk, "save", refuse)
    bench.topics.items += [item("results", content="huge"), item("results")]
    until(lambda: bench.disk.saved)
    assert bench.problems("results") == {"lost, disk": 1}
    bench.node.close()
    assert bench.node.exit_status == 1


def test_what_is_lost_is_kept_with_the_rest_and_is_the_last_word(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.disk.broken = True
    bench.topics.items += [item("frames"), item("sensor")]
    until(lambda: len(bench.disk.tried) == 2)
    bench.disk.broken = False
    bench.node.close()
    assert bench.disk.told == {"frames": "1 lost, disk", "sensor": "1 lost, disk"}
    last = capfd.readouterr().err.splitlines()[-1]
    assert "does not hold all that came: frames: 1 lost, disk; sensor: 1 lost, disk" in last
    assert "[ERROR]" in last
    assert bench.node.exit_status == 1  # of whatever kind it is


def test_without_losses_nothing_of_them_is_said(
    make: Callable[..., Bench], capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.topics.items += [item("results")]
    until(lambda: bench.disk.saved)
    bench.node.close()
    assert bench.disk.told == {}
    assert "does not hold all" not in capfd.readouterr().err
    assert bench.node.exit_status == 0


def test_what_cannot_be_finished_has_its_exit_status(make: Callable[..., Bench]) -> None:
    bench = make()
    bench.topics.items += [item("results")]
    until(lambda: bench.disk.saved)
    bench.disk.broken = True
    bench.node.close()
    assert bench.node.exit_status == 1

"""What both recorders do about a folder that is gone, and how each folder's losses are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_disk import RANKS, Bench, Disk, benches, item, until

from vla_inference_ros.nodes.saving import NO_FOLDER

MB = 1_000_000


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with benches(tmp_path) as make:
        yield make


def lose(bench: Bench, disk: Disk, kind: str) -> None:
    """An item that the disk does not take."""
    disk.broken = True
    bench.topics.items += [item(kind)]
    until(lambda: bench.problems(kind))
    disk.broken = False


def test_what_comes_while_the_folder_is_gone_is_saved_in_the_next(
    make: Callable[..., Bench], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    bench.topics.items += [item("frames")]
    until(lambda: bench.disk.saved)
    bench.disk.gone = True
    given = [item("frames"), item("sensor"), item("results")]
    bench.topics.items += given
    frames = bench.node.kinds["frames"]
    until(lambda: NO_FOLDER in frames.troubles.current())
    bench.next_disks.append(following := Disk(tmp_path))
    until(lambda: following.saved == given)
    until(lambda: frames.troubles.current() == [])
    for kind in RANKS:
        assert bench.problems(kind) == {}
    said = capfd.readouterr().err
    assert f"{tmp_path} is gone (removed, renamed or replaced?)" in said
    assert "frames: no folder to save to: " in said
    assert f"saving goes on in {tmp_path}, after {tmp_path}" in said
    assert bench.node.failure is None


def test_what_finds_no_folder_to_the_end_is_counted_and_the_node_says_that_it_failed(
    make: Callable[..., Bench],
) -> None:
    bench = make()
    bench.disk.gone = True
    until(lambda: NO_FOLDER in bench.node.kinds["frames"].troubles.current())
    bench.topics.items += [item("frames"), item("results"), item("results")]
    bench.node.close()
    assert bench.problems("frames") == {"lost, no folder": 1}
    assert bench.problems("results") == {"lost, no folder": 2}
    assert bench.node.exit_status == 1


def test_what_waits_for_a_folder_is_bounded(make: Callable[..., Bench]) -> None:
    bench = make(buffer_mb=1.0)
    bench.disk.gone = True
    until(lambda: NO_FOLDER in bench.node.kinds["frames"].troubles.current())
    bench.topics.items += [item("frames", MB // 2), item("frames", MB // 2), item("results", MB)]
    until(lambda: not bench.topics.items)
    assert bench.problems("frames") == {"dropped, no folder": 1}


def test_each_folder_is_named_with_what_was_lost_in_it(
    make: Callable[..., Bench], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bench = make()
    lose(bench, bench.disk, "frames")
    bench.topics.items += [item("results")]
    until(lambda: bench.disk.saved)
    bench.disk.pending["results"] = 1
    bench.disk.gone = True
    until(lambda: bench.problems("results"))  # told when it happens, not in the end
    (tmp_path / "following").mkdir()
    following = Disk(tmp_path / "following")
    bench.next_disks.append(following)
    until(lambda: following.flushed)
    lose(bench, following, "sensor")
    bench.node.close()
    said = capfd.readouterr().err
    assert f"results: 1 were not on the disk of {tmp_path} yet" in said
    (first, second) = (line for line in said.splitlines() if "does not hold all" in line)
    assert first.endswith(
        f": {tmp_path} does not hold all that came: frames: 1 lost, disk; results: 1 lost, disk"
    )
    assert second.endswith(f"{following.folder} does not hold all that came: sensor: 1 lost, disk")
    assert following.told == {"sensor": "1 lost, disk"}
    assert bench.node.exit_status == 1


def test_a_folder_that_was_renamed_keeps_what_was_lost_in_it(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make()
    lose(bench, bench.disk, "frames")
    monkeypatch.setattr(bench.disk, "is_there", lambda: False)
    until(lambda: bench.disk.closed)
    assert bench.disk.told == {"frames": "1 lost, disk"}

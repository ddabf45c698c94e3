"""What both recorders do about a folder that is gone."""

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

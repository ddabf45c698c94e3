import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_inference_ros.doctor.disk import DiskFacts, disk_space, gather_disk
from vla_inference_ros.doctor.result import Result, Status

RESERVE = 500e6


def fake(free: float) -> Callable[[Path], os.statvfs_result]:
    blocks = int(free / 4096)
    return lambda _: os.statvfs_result((4096, 4096, 10 * blocks, 2 * blocks, blocks, 0, 0, 0, 0, 0))


def checked(free: float, *, recorders: int = 1, duration: float = 0.0) -> Result:
    facts = gather_disk(Path.cwd() / "not" / "yet", RESERVE, fake(free))
    assert facts.free == pytest.approx(free, abs=4096)
    return disk_space(facts, recorders, duration)


def test_a_full_disk_is_a_problem() -> None:
    result = checked(RESERVE + 1e9)
    assert result.status is Status.PROBLEM
    assert "1.5 GB free, 1 minutes at 25 MB/s" in result.finding
    assert result.remedy.startswith("free some, give output_dir:= a larger disk")
    assert checked(0.0).values["minutes"] == 0.0


def test_minutes_are_what_is_left_at_25_megabytes_a_second_and_recorder() -> None:
    free = RESERVE + 40 * 60 * 25e6
    assert checked(free).values["minutes"] == pytest.approx(40, abs=0.01)
    assert checked(free).status is Status.OK
    both = checked(free, recorders=2)
    assert both.values["minutes"] == pytest.approx(20, abs=0.01)
    assert both.status is Status.WARNING


def test_a_run_that_is_longer_than_the_disk_is_a_problem() -> None:
    result = checked(RESERVE + 40 * 60 * 25e6, duration=3600.0)
    assert result.status is Status.PROBLEM
    assert "and 60 are needed" in result.finding


def test_nothing_to_record_is_skipped() -> None:
    assert disk_space(DiskFacts(Path(), 0.0, RESERVE), 0, 0.0).status is Status.SKIPPED


def test_a_folder_that_cannot_be_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    result = disk_space(gather_disk(file / "runs", RESERVE), 1, 0.0)
    assert result.status is Status.PROBLEM
    assert result.finding == f"{file} is no folder"


def test_this_disk_is_asked(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    facts = gather_disk(tmp_path, RESERVE)
    assert facts.free == pytest.approx(found.f_bavail * found.f_frsize, rel=0.2)
    assert not facts.error

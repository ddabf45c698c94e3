from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_inference_ros.recording.bag_writer import bag_name
from vla_inference_ros.recording.kept_aside import keep_aside, name_aside
from vla_inference_ros.recording.new_names import free_name, make_folder
from vla_inference_ros.recording.run_folder import folder_name

REPEATED = 1_792_890_000.0  # 01:00 UTC on 2026-10-25, where Berlin has had 2 o'clock before


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize("name", [folder_name, bag_name])
def test_no_hour_comes_twice(name: object) -> None:
    before, after = REPEATED - 1800, REPEATED + 1800
    assert callable(name)
    assert time.localtime(before)[3:6] == time.localtime(after)[3:6]
    assert name(before).endswith("_20261025_003000")
    assert name(after).endswith("_20261025_013000")


def test_each_gets_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "some" / "run_1.5"
    assert free_name(path) == path
    made = [make_folder(path) for _ in range(3)]
    assert [each.name for each in made] == ["run_1.5", "run_1.5_2", "run_1.5_3"]
    assert free_name(path).name == "run_1.5_4"


@pytest.mark.parametrize("taken", ["file", "link"])
def test_a_name_that_anything_has_is_taken(tmp_path: Path, taken: str) -> None:
    path = tmp_path / "run"
    path.touch() if taken == "file" else path.symlink_to("nowhere")
    assert free_name(path) == tmp_path / "run_2"
    assert make_folder(path) == tmp_path / "run_2"


@pytest.mark.parametrize("parent", ["file", "link"])
def test_a_place_that_is_no_folder_is_refused(tmp_path: Path, parent: str) -> None:
    place = tmp_path / parent
    place.touch() if parent == "file" else place.symlink_to("nowhere")
    with pytest.raises(OSError, match=str(place)):
        make_folder(place / "run")


def test_what_is_kept_aside_takes_no_name_that_anything_has(tmp_path: Path) -> None:
    taken = tmp_path / "file.old"
    taken.symlink_to("nowhere")
    for number in range(2, 5):
        path = tmp_path / "file"
        path.write_text(str(number), encoding="utf-8")
        kept = keep_aside(path)
        assert kept == tmp_path / f"file.old{number}"
        assert kept.read_text(encoding="utf-8") == str(number)
    assert taken.is_symlink()
    assert name_aside(path, ".new") == tmp_path / "file.new"

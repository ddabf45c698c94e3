"""A result that is there as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_inference_ros.export.new_folder import OutputError, new_folder


def test_it_gets_its_name_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "result"
    with new_folder(target) as new:
        new.mkdir()
        (new / "file").write_text("content", encoding="utf-8")
        assert not target.exists()
        assert new.name == target.name
    assert (target / "file").read_text(encoding="utf-8") == "content"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_of_one_that_failed(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "result") as new:
            new.mkdir()
            (new / "file").write_text("content", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_stays(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "result"
    if kind == "folder":
        target.mkdir()
    elif kind == "file":
        target.touch()
    else:
        target.symlink_to("nowhere")
    with pytest.raises(OutputError, match="is there already"), new_folder(target):
        pytest.fail("it began")
    assert list(tmp_path.iterdir()) == [target]


def test_another_export_to_the_same_place_is_seen(tmp_path: Path) -> None:
    target = tmp_path / "result"
    with new_folder(target) as new:
        new.mkdir()
        with pytest.raises(OutputError, match="another export is writing it"), new_folder(target):
            pytest.fail("it began")
    assert target.is_dir()


def test_what_appears_meanwhile_stays(tmp_path: Path) -> None:
    target = tmp_path / "result"

    def make() -> None:
        with new_folder(target) as new:
            new.mkdir()
            target.mkdir()
            (target / "file").touch()

    with pytest.raises(OSError, match="not empty"):
        make()
    assert [path.name for path in tmp_path.rglob("*")] == ["result", "file"]

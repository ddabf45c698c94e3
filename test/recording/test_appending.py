from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_inference_ros.recording import appending
from vla_inference_ros.recording.appending import JsonListFile, LineFile

ENTRIES = [{"number": number, "text": "x" * number} for number in range(40)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The disk takes half of the next thing that is written, then what was there before."""
    write_all = appending.write_all

    def half(descriptor: int, data: bytes) -> None:
        monkeypatch.setattr(appending, "write_all", write_all)
        write_all(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(appending, "write_all", half)
    return monkeypatch


def json_list(path: Path, count: int) -> JsonListFile:
    file = JsonListFile(path)
    for entry in ENTRIES[:count]:
        file.append(entry)
    return file


def test_a_json_list_is_whole_after_each_entry(path: Path) -> None:
    file = JsonListFile(path)
    assert json.loads(path.read_text(encoding="utf-8")) == []
    for count, entry in enumerate(ENTRIES, 1):
        file.append(entry)
        assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[:count]
    assert len(path.read_text(encoding="utf-8").splitlines()) == len(ENTRIES) + 2


@pytest.mark.parametrize("count", [0, 3])
def test_a_full_disk_leaves_a_list_whole(
    path: Path, count: int, request: pytest.FixtureRequest
) -> None:
    file = json_list(path, count)
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="No space left"):
        file.append(ENTRIES[30])
    assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[:count]
    file.append(ENTRIES[count])
    assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[: count + 1]


def test_numbers_that_json_does_not_have_are_refused(path: Path) -> None:
    file = json_list(path, 1)
    with pytest.raises(ValueError, match="not JSON compliant"):
        file.append({"force": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[:1]


def test_lines_are_there_at_once(path: Path) -> None:
    file = LineFile(path, "a,b")
    file.append("1,ü")
    assert path.read_text(encoding="utf-8") == "a,b\n1,ü\n"
    file.close()


def test_a_file_that_is_there_is_not_overwritten(path: Path) -> None:
    path.write_text("precious", encoding="utf-8")
    for kind in (JsonListFile, lambda path: LineFile(path, "a")):
        with pytest.raises(FileExistsError):
            kind(path)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_full_disk_leaves_lines_whole(path: Path, request: pytest.FixtureRequest) -> None:
    file = LineFile(path, "a,b")
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="No space left"):
        file.append("1,2")
    file.append("3,4")
    assert path.read_text(encoding="utf-8") == "a,b\n3,4\n"

"""The texts of a run whose recorder was killed, or that the disk has damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from saved_run import only, streams, written

from vla_inference_ros.recording.appending import JsonListFile
from vla_inference_ros.recording.mending import Mended, mend_lines, mend_list
from vla_inference_ros.recording.recover import main
from vla_inference_ros.recording.run_reader import RunFolder

ENTRIES = [{"number": number, "text": "x" * number} for number in range(40)]
HEADINGS = (("a", "b"), ("a", "b", "c"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def old(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def json_list(path: Path, count: int) -> None:
    file = JsonListFile(path)
    for entry in ENTRIES[:count]:
        file.append(entry)
    file.close()


def test_a_json_list_that_is_cut_off_anywhere_keeps_its_whole_entries(path: Path) -> None:
    json_list(path, 6)
    data = path.read_bytes()
    ends = [
        data.index(json.dumps(entry).encode()) + len(json.dumps(entry)) for entry in ENTRIES[:6]
    ]
    for size in range(1, len(data) + 1):
        path.write_bytes(data[:size])
        kept = sum(end <= size for end in ends)
        assert mend_list(path) == Mended(kept)
        assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[:kept]


def test_mending_leaves_a_whole_list_untouched(path: Path) -> None:
    json_list(path, 6)
    before = path.stat()
    assert mend_list(path) == Mended(6)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'[{"a": 1}]',
        b'[\n{"a": 1}\n,{"a": 2}]',
        b'[\n  {\n    "a": 1\n  }\n]\n',
        b"[\n1,\n2\n]\n",
    ],
)
def test_what_is_no_such_list_is_left_alone(path: Path, content: bytes) -> None:
    """As the results of other programs, which are whole."""
    path.write_bytes(content)
    with pytest.raises(ValueError, match="left as it is"):
        mend_list(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[\n" + bytes(50) + b"\n]\n"])
def test_a_list_of_which_nothing_is_left_is_empty(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert mend_list(path).entries == 0
    assert json.loads(path.read_text(encoding="utf-8")) == []
    assert not content or old(path).read_bytes() == content


@pytest.mark.parametrize("bad", [b"\0", b"\xff"])
def test_a_damaged_line_of_a_list_costs_itself_alone(path: Path, bad: bytes) -> None:
    for number in range(6):
        path.unlink(missing_ok=True)
        old(path).unlink(missing_ok=True)
        json_list(path, 6)
        entry = json.dumps(ENTRIES[number]).encode()
        damaged = path.read_bytes().replace(entry, entry[:3] + bad * 4 + entry[7:])
        path.write_bytes(damaged)
        assert mend_list(path) == Mended(5, 1, "file.old")
        assert json.loads(path.read_text(encoding="utf-8")) == [
            e for e in ENTRIES[:6] if e["number"] != number
        ]
        assert old(path).read_bytes() == damaged
        assert mend_list(path) == Mended(5)


def test_zeros_over_the_end_of_a_line_cost_no_third(path: Path) -> None:
    json_list(path, 6)
    data = path.read_bytes()
    at = data.index(b'{"number": 3') - 6
    path.write_bytes(data[:at] + bytes(6) + data[at + 6 :])
    mended = mend_list(path)
    assert mended.entries >= 4
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [each["number"] for each in found if each["number"] not in (2, 3)] == [0, 1, 4, 5]


def test_a_list_whose_first_line_is_damaged(path: Path) -> None:
    json_list(path, 6)
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert mend_list(path).entries == 6
    assert json.loads(path.read_text(encoding="utf-8")) == ENTRIES[:6]


def test_a_line_that_was_cut_off_is_dropped(path: Path) -> None:
    path.write_text("a,b\n1,2\n3,", encoding="utf-8")
    assert mend_lines(path, HEADINGS) == Mended(1)
    assert path.read_text(encoding="utf-8") == "a,b\n1,2\n"
    assert mend_lines(path, HEADINGS) == Mended(1)


@pytest.mark.parametrize("line", ["1,\0\0\0", "1", "1,2,3", '1,"x', "\0\0,2"])
def test_a_damaged_row_costs_itself_alone(path: Path, line: str) -> None:
    damaged = f"a,b\n1,2\n{line}\n3,4\n5,"
    path.write_text(damaged, encoding="utf-8")
    assert mend_lines(path, HEADINGS) == Mended(2, 1, "file.old")
    assert path.read_text(encoding="utf-8") == "a,b\n1,2\n3,4\n"
    assert old(path).read_text(encoding="utf-8") == damaged


def test_a_damaged_heading_is_the_one_that_fits(path: Path) -> None:
    path.write_text("\0\0\0\0\0\n1,2,3\n4,5,6\n", encoding="utf-8")
    assert mend_lines(path, HEADINGS) == Mended(2, 1, "file.old")
    assert path.read_text(encoding="utf-8") == "a,b,c\n1,2,3\n4,5,6\n"


def zeros(pattern: str) -> Callable[[Path], Path]:
    """Over the middle of the sixth line, as a block that the disk has lost."""

    def damage(folder: Path) -> Path:
        path = only(folder, pattern)
        lines = path.read_bytes().splitlines(keepends=True)
        lines[5] = lines[5][:10] + bytes(len(lines[5]) - 20) + lines[5][-10:]
        path.write_bytes(b"".join(lines))
        return path

    return damage


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (zeros("inference_results_*.json"), "action chunks"),
        (zeros("robot_state_*.csv"), "robot states"),
        (zeros("frames_*.csv"), "pictures"),
    ],
)
def test_what_is_read_before_and_after_recovery_is_the_same(
    tmp_path: Path,
    damage: Callable[[Path], Path],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = written(tmp_path)
    whole = [sum(1 for _ in stream) for stream in streams(RunFolder(folder))]
    path = damage(folder)
    before = path.read_bytes()
    found = RunFolder(folder)
    read = [sum(1 for _ in stream) for stream in streams(found)]
    assert sum(whole) - sum(read) == 1
    (line,) = found.odd.lines()
    assert f"1 of {what}, a damaged " in line
    assert main([str(folder)]) == 0
    assert (
        f"11 {what}, 1 damaged lines left out; the file as it was is kept as {path.name}.old"
        in (capsys.readouterr().out)
    )
    assert old(path).read_bytes() == before
    again = RunFolder(folder)
    assert [sum(1 for _ in stream) for stream in streams(again)] == read
    assert not again.odd.lines()

"""What is said of a run folder that is damaged, unfinished or none."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from old_run import CAMERAS, STAMP, START, old_run
from recorded import JPEG
from saved_run import everything, only, streams, written

from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import (
    RecordingError,
)
from vla_inference_ros.recording.run_reader import RunFolder, is_run_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return written(tmp_path)


def test_only_a_run_folder_is_one(tmp_path: Path, folder: Path) -> None:
    assert is_run_folder(folder)
    assert not is_run_folder(tmp_path)
    assert not is_run_folder(only(folder, "*.npz"))
    assert not is_run_folder(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RecordingError, match="empty is no run folder: it has no inference_results"):
        RunFolder(empty)
    with pytest.raises(RecordingError, match=r"neither a bag .* nor a run folder"):
        open_recording(empty)


def test_an_unfinished_folder_asks_for_recovery(tmp_path: Path) -> None:
    folder = written(tmp_path, close=False)
    with pytest.raises(RecordingError, match=f"`vla-recover {re.escape(str(folder))}`"):
        RunFolder(folder)


def cut(pattern: str, part: float) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = next(folder.glob(pattern))
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])

    return damage


def edited(pattern: str, old: str, new: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = next(folder.glob(pattern))
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return damage


def picture(data: bytes | None) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = sorted((folder / "View2").iterdir())[1]
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return damage


def arrays(change: Callable[[dict[str, np.ndarray[Any, Any]]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = only(folder, "*.npz")
        with np.load(path) as held:
            changed = dict(held)
        change(changed)
        path.unlink()
        np.savez(path, **changed)

    return damage


def flipped_bit(folder: Path) -> None:
    path = only(folder, "*.npz")
    data = bytearray(path.read_bytes())
    data[100_000] ^= 1
    path.write_bytes(data)


def no_array(folder: Path) -> None:
    path = only(folder, "*.npz")
    with np.load(path) as held:
        names = [name for name in held if name != "forces"]
        kept = {name: held[name] for name in names}
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in kept.items():
            stream = io.BytesIO()
            np.save(stream, array)
            archive.writestr(f"{name}.npy", stream.getvalue())
        archive.writestr("forces.npy", b"no array at all")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated NPZ": (cut("*.npz", 0.5), r"sensor_data_\S+ is damaged: .*not a zip"),
    "NPZ of nothing": (cut("*.npz", 0.0), r"sensor_data_\S+ is damaged"),
    "a changed bit in the NPZ": (flipped_bit, r"sensor_data_\S+ is damaged: Bad CRC"),
    "no array in the NPZ": (no_array, r"sensor_data_\S+ is damaged: .*magic"),
    "NPZ without forces": (arrays(lambda a: a.pop("forces")), r"sensor_data_\S+ lacks forces"),
    "NPZ of unequal lengths": (
        arrays(lambda a: a.update(forces=a["forces"][:-1])),
        r"forces has the shape \(35,\), but there are 36 timestamps",
    ),
    "flat A-scans": (
        arrays(lambda a: a.update(alines=a["forces"])),
        r"alines has the shape \(36,\)",
    ),
    "A-scans by column": (
        arrays(lambda a: a.update(alines=np.asfortranarray(a["alines"]))),
        "alines is stored column by column.*ascontiguousarray",
    ),
    "text in the NPZ": (
        arrays(lambda a: a.update(forces=a["forces"].astype("U8"))),
        "forces holds <U8, not numbers",
    ),
    "NaN for a time": (
        arrays(lambda a: a["timestamps"].__setitem__(7, np.nan)),
        "sample 7 has nan for its time",
    ),
    "no column in the CSV": (
        edited("robot_state_*.csv", "joint_3,", "joint_x,"),
        r"robot_state_\S+ lacks the column\(s\) joint_3$",
    ),
    "no column in the list of pictures": (
        edited("frames_*.csv", "clock_offset,view", "offset,view"),
        r"frames_\S+ lacks the column\(s\) clock_offset$",
    ),
    "an empty CSV": (cut("robot_state_*.csv", 0.0), r"robot_state_\S+ ends in its first line"),
    "no number in a cell": (
        edited("robot_state_*.csv", ",-1,", ",minus one,"),
        r"robot_state_\S+, line 3: pose_x is 'minus one', which is no number",
    ),
    "NaN in a cell": (
        edited("robot_state_*.csv", ",-1,", ",nan,"),
        r"line 3: pose_x is 'nan', which is no number",
    ),
    "too large a number": (
        edited("robot_state_*.csv", ",-1,", ",1e300,"),
        r"line 3: a number is too large for a robot's packet",
    ),
    "a cut off line": (
        cut("robot_state_*.csv", 0.97),
        r"robot_state_\S+, line 13: \d+ cells, not 17.*`vla-recover`",
    ),
    "a cut off quotation": (
        cut("frames_*.csv", 0.998),
        r"frames_\S+, line 13: unexpected end of data.*`vla-recover`",
    ),
    "no text": (
        lambda folder: only(folder, "frames_*.csv").write_bytes(b"\xff\xfe\0"),
        r"frames_\S+ is no text in UTF-8",
    ),
    "a missing picture": (
        picture(None),
        r"frames_\S+, line 5 names \S+View2/zed_\S+\.jpg, which cannot be read: No such file",
    ),
    "an empty picture": (picture(b""), r"line 5 names \S+\.jpg: the JPEG is empty"),
    "no JPEG": (picture(b"\x89PNG\r\n"), r"line 5 names \S+\.jpg: not a JPEG"),
    "half a JPEG": (picture(JPEG[:100]), r"line 5 names \S+\.jpg: JPEG of 100 bytes has no end"),
    "JSON that is cut off": (
        cut("*.json", 0.52),
        r"inference_results_\S+, line \d+ is no whole JSON list: .*`vla-recover`",
    ),
    "JSON without an end": (
        edited("*.json", "\n]\n", "\n"),
        r"inference_results_\S+ is no whole JSON list: the list has no end",
    ),
    "JSON of nothing": (cut("*.json", 0.0), r"inference_results_\S+ is no whole JSON list"),
    "JSON without a comma": (
        edited("*.json", '},\n{"number": 5', '}\n{"number": 5'),
        r"line 7 is no whole JSON list: there is no comma before it",
    ),
    "JSON that goes on": (
        edited("*.json", "\n]\n", "\n]\n{}\n"),
        r"line 15 is no whole JSON list: something follows",
    ),
    "a number among the chunks": (
        edited("*.json", '{"number": 5', '3,\n{"number": 5'),
        r"inference_results_\S+, line 7 is no JSON object",
    ),
    "no list": (
        lambda folder: only(folder, "*.json").write_text('{"a": 1}', encoding="utf-8"),
        r"inference_results_\S+ holds no list",
    ),
    "a list of numbers": (
        lambda folder: only(folder, "*.json").write_text("[1, 2]", encoding="utf-8"),
        r"inference_results_\S+, entry 0 is no JSON object",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(folder: Path, kind: str) -> None:
    damage, message = DAMAGE[kind]
    damage(folder)
    with pytest.raises(RecordingError, match=message) as caught:
        everything(RunFolder(folder, strict=True))
    assert "\n" not in str(caught.value)


ODD = {  # of what and by which kind it is counted, if not strictly
    "NaN for a time": ("sensor samples", "not finite"),
    "no number in a cell": ("robot states", "not a number"),
    "NaN in a cell": ("robot states", "not a number"),
    "too large a number": ("robot states", "not finite"),
    "a cut off line": ("robot states", "a row that is cut off"),
    "a missing picture": ("pictures", "a missing picture"),
    "an empty picture": ("pictures", "bad JPEG"),
    "no JPEG": ("pictures", "bad JPEG"),
    "half a JPEG": ("pictures", "bad JPEG"),
    "a number among the chunks": ("action chunks", "no JSON object"),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_is_odd_costs_itself_alone_and_is_counted(folder: Path, kind: str) -> None:
    whole = [sum(1 for _ in stream) for stream in streams(RunFolder(folder))]
    damage, message = DAMAGE[kind]
    damage(folder)
    found = RunFolder(folder)
    for _ in range(2):  # to read again counts nothing twice
        read = [sum(1 for _ in stream) for stream in streams(found)]
        assert sum(whole) - sum(read) == (0 if kind == "a number among the chunks" else 1)
        (line,) = found.odd.lines()
    what, why = ODD[kind]
    assert re.match(f"left out, since it is odd: 1 of {what}, {why}: ", line)
    assert re.search(message, line)
    assert found.odd.count() == 1


def test_a_path_that_leads_out_of_the_folder_is_not_opened(folder: Path, tmp_path: Path) -> None:
    picture = sorted((folder / "View1").iterdir())[0]
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(picture.read_bytes())
    whole = len(list(RunFolder(folder).frames()))
    for name in (f"../../{outside.name}", str(outside), f"../View1/{picture.name}", ".."):
        edited("frames_*.csv", picture.name, name)(folder)
        found = RunFolder(folder)
        assert len(list(found.frames())) == whole - 1
        (line,) = found.odd.lines()
        assert "1 of pictures, a path that leads elsewhere: " in line
        edited("frames_*.csv", name, picture.name)(folder)
    edited("frames_*.csv", ",View1,", ",..,")(folder)
    assert len(list(RunFolder(folder).frames())) == whole - 1


def test_a_picture_that_is_a_fifo_keeps_nobody_waiting(folder: Path) -> None:
    picture = sorted((folder / "View2").iterdir())[1]
    picture.unlink()
    os.mkfifo(picture)
    found = RunFolder(folder)
    list(found.frames())
    assert "which cannot be read: it is a FIFO, not a file" in found.odd.lines()[0]


def test_an_old_picture_s_name_must_tell_its_time(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    (folder / "View1" / "picture.jpg").write_bytes(JPEG)
    with pytest.raises(RecordingError, match=r"picture\.jpg: without a frames_\*\.csv"):
        list(RunFolder(folder, strict=True).frames())
    found = RunFolder(folder)
    assert list(found.frames())
    assert "1 of pictures, a name without a time: " in found.odd.lines()[0]


def test_an_old_picture_that_is_empty_is_named(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    path = folder / "View5" / f"{CAMERAS['View5']}_{START + 0.25:.6f}.jpg"
    path.write_bytes(b"")
    with pytest.raises(RecordingError, match=f"{re.escape(str(path))}: the JPEG is empty"):
        list(RunFolder(folder, strict=True).frames())


def test_a_file_that_is_a_folder_is_named(tmp_path: Path) -> None:
    folder = old_run(tmp_path)
    (folder / f"robot_state_{STAMP}.csv").unlink()
    (folder / f"robot_state_{STAMP}.csv").mkdir()
    with pytest.raises(RecordingError, match=r"cannot read .*robot_state_\S+: Is a directory"):
        list(RunFolder(folder).states())

"""The command ``vla-export``: what it says, its exit status, what is left of a failed export."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_recording import FakeRecording
from saved_run import only, written

from vla_inference_ros.export.command import main
from vla_inference_ros.export.to_run import to_run
from vla_inference_ros.report.command import default_output

SUPPORT = Path(__file__).parents[1] / "support"
TARGETS = ("run", "csv", "lerobot")
MOST_GROWTH = 12_000  # of the memory that a ten times longer recording needs [kB]
ENDLESS = 10_000.0  # of a recording that no test waits for the end of [s]
LIMIT = 120.0  # for what takes a second on a machine that has nothing else to do [s]

CHILD = """
import resource, sys
from pathlib import Path
from fake_recording import FakeRecording
from vla_inference_ros.export.command import main
from vla_inference_ros.recording import opening
"""
# Exports a recording of any length, with no file larger than a limit.
FAKED = f"""{CHILD}
seconds, limit, *given = sys.argv[1:]
opening.open_recording = lambda path, _: FakeRecording(path, float(seconds), jpeg_size=20_000)
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
sys.exit(main(given))
"""
# Exports a recording to a run folder and that to the other forms; prints the peak of its memory.
MEASURED = f"""{CHILD}
seconds, output = float(sys.argv[1]), Path(sys.argv[2])
from vla_inference_ros.export.to_run import to_run
to_run(FakeRecording(seconds=seconds, jpeg_size=60_000), output, None)
(run,) = output.iterdir()
for target in {TARGETS[1:]}:
    assert main([str(run), "--to", target, "--output", str(output)]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def needs(target: str) -> None:
    if target == "lerobot":
        pytest.importorskip("pyarrow", reason="pyarrow, an extra, is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run")
    to_run(FakeRecording(instructions=()), output, None)
    (folder,) = output.iterdir()
    return folder


@contextmanager
def started(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python that runs the code, and is gone afterwards whatever becomes of the test."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=SUPPORT,  # the checkout's own package has no messages
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("target", TARGETS)
def test_it_says_what_it_made_and_never_makes_it_in_the_same_place(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    needs(target)
    name = run.name if target == "run" else f"{run.name}_{target}"
    given = [str(run), "--to", target, "--output", str(tmp_path / "new")]
    assert main(given) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "new" / name))
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "new" / name).rglob("*")}
    assert main(given) == 0
    assert capsys.readouterr().out.startswith(str(tmp_path / "new" / f"{name}_2"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "new" / name).rglob("*")} == made
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [name, f"{name}_2"]


def test_by_default_it_is_made_beside_the_recording_as_a_report_is(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    recorded = Path(shutil.copytree(run, tmp_path / "runs" / run.name))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main([f"../runs/{run.name}", "--to", "csv"]) == 0
    assert main([str(recorded), "--to", "run"]) == 0
    monkeypatch.chdir(recorded)
    assert main([".", "--to", "csv"]) == 0
    made = {path.name for path in recorded.parent.iterdir()} - {run.name}
    assert made == {f"{run.name}_csv", f"{run.name}_csv_2", f"{run.name}_2"}
    assert default_output(recorded).parent == recorded.parent
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["x"], "the following arguments are required: --to"),
        (["x", "--to", "video"], "invalid choice: 'video'"),
        (["x", "--to", "run", "--ascans"], "--ascans is for --to csv"),
        (["x", "--to", "csv", "--task", "cut"], "--task is for --to lerobot"),
    ],
)
def test_a_wrong_command_line(
    given: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(given)
    assert left.value.code == 2
    assert complaint in capsys.readouterr().err


def truncated(folder: Path) -> str:
    (npz,) = folder.glob("*.npz")
    npz.write_bytes(npz.read_bytes()[:2000])
    return f"{npz} is damaged"


def without_results(folder: Path) -> str:
    (results,) = folder.glob("*.json")
    results.unlink()
    return "is neither a bag"


def cut_table(folder: Path) -> str:
    (table,) = folder.glob("robot_state_*.csv")
    table.write_text(table.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    return f"{table}, line 61: "


def empty_results(folder: Path) -> str:
    (results,) = folder.glob("*.json")
    results.write_text("", encoding="utf-8")
    return f"{results} is no whole JSON list"


def foreign_results(folder: Path) -> str:
    (results,) = folder.glob("*.json")
    results.write_text(json.dumps([{"timestamp": 1.0}]), encoding="utf-8")
    return "action chunk 1: actions is no list of steps"


def without_pictures(folder: Path) -> str:
    for picture in folder.glob("View2/*.jpg"):
        picture.unlink()
    return "which cannot be read"


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "damage",
    [truncated, without_results, cut_table, empty_results, foreign_results, without_pictures],
)
def test_what_is_damaged_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, damage: Any
) -> None:
    needs(target)
    to_run(FakeRecording(), tmp_path, None)
    (folder,) = tmp_path.iterdir()
    complaint = damage(folder)
    output = tmp_path / "output"
    given = [str(folder), "--to", target, "--output", str(output)]
    assert main([*given, "--strict"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vla-export: ")
    assert complaint in said
    assert said.count("\n") == 1
    assert not output.exists() or not list(output.iterdir())
    if damage is cut_table or (damage is without_pictures and target != "lerobot"):
        assert main(given) == 0
        done = capsys.readouterr()
        assert "left out, since it is odd: " in done.out
        assert complaint in done.out
        assert done.err == ""


def test_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "x"), "--to", "csv"]) == 1
    assert capsys.readouterr().err == f"vla-export: {tmp_path / 'x'} does not exist\n"


def test_an_output_that_cannot_be_made(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main([str(run), "--to", "csv", "--output", str(tmp_path / "file")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"vla-export: nothing exported to {tmp_path / 'file'}: ")
    assert said.count("\n") == 1


def test_without_pyarrow_the_remedy_is_said(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.startswith("vla_inference_ros.export.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main([str(run), "--to", "lerobot", "--output", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("vla-export: --to lerobot needs pyarrow, which is an extra: pip install")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_ctrl_c_leaves_nothing(tmp_path: Path, target: str) -> None:
    needs(target)
    with started(FAKED, ENDLESS, 0, "fake", "--to", target, "--output", tmp_path) as process:
        end = time.monotonic() + LIMIT
        while not any(path.is_file() for path in tmp_path.rglob("*")):
            assert time.monotonic() < end, "it never began"
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, complaint = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert (said, complaint) == ("", "vla-export: interrupted, nothing exported\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", TARGETS)
def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path, target: str) -> None:
    needs(target)
    given = ("fake", "--to", target, "--output", tmp_path)
    # Of a run folder, files that grow are followed by others: only a picture can be too large.
    most = 15_000 if target == "run" else 200_000
    with started(FAKED, ENDLESS, most, *given) as process:
        said, complaint = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert said == ""
    assert complaint.startswith(f"vla-export: nothing exported to {tmp_path}: ")
    assert "File too large" in complaint
    assert complaint.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    needs("lerobot")
    peaks = []
    for seconds in (3, 30):
        (tmp_path / str(seconds)).mkdir()
        with started(MEASURED, seconds, tmp_path / str(seconds)) as process:
            said, complaint = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, complaint
        peaks.append(int(said.splitlines()[-1]))
    assert peaks[1] - peaks[0] < MOST_GROWTH, peaks
    size = sum(path.stat().st_size for path in (tmp_path / "30").rglob("*.jpg"))
    assert size / 1000 > 3 * MOST_GROWTH  # what it would need if it kept the pictures


def test_what_was_left_out_is_told_also_if_nothing_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path)
    only(folder, "sensor_*.npz").write_bytes(b"")
    assert main([str(folder), "--to", "csv"]) == 1  # none of its action chunks has steps
    said = capsys.readouterr().err
    assert "vla-export: left out, since it is odd: " in said

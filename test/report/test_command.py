"""vla-report, from the command line to the file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from html_page import Page
from planted import DEGRADED, START, Planted

from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.report.command import default_output, main

LIMIT = 120.0  # for what takes a second on a machine that has nothing else to do [s]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """With chunks and a few pictures, which is all that is needed here."""
    planted = Planted(tmp_path)
    writer = RunWriter(tmp_path, START)
    for result in planted.results():
        writer.add_result(result)
    for _, frame in zip(range(10), planted.frames(), strict=False):
        writer.add_frame(frame)
    writer.close()
    return writer.folder


def test_the_page_is_beside_the_recording(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run)]) == 0
    output = run.with_name(f"{run.name}_report.html")
    assert capsys.readouterr().out == f"{output}\n"
    page = Page(output.read_bytes())
    assert page.headings[0] == f"Run report: {run.name}"
    assert page.values["chunks.degraded"] == str(len(DEGRADED))
    assert page.tags.count("img") > 0
    assert [path for path in run.parent.iterdir() if path != run] == [output]


def test_output(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "elsewhere.html"
    output.write_text("an older page", encoding="utf-8")
    assert main([str(run), "--output", str(output)]) == 0
    assert output.read_bytes().startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("found", [True, False])
def test_open(
    found: bool, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def show(address: str) -> bool:
        opened.append(address)
        return found

    monkeypatch.setattr(webbrowser, "open", show)
    assert main([str(run), "--open"]) == (0 if found else 1)
    assert opened == [default_output(run).as_uri()]
    assert ("no browser was found" in capsys.readouterr().err) is not found


def test_default_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run.1"
    folder.mkdir()
    (tmp_path / "bag.mcap").touch()
    monkeypatch.chdir(folder)
    assert default_output(Path(".")) == tmp_path / "run.1_report.html"
    assert default_output(tmp_path / "bag.mcap") == tmp_path / "bag_report.html"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing"], "missing does not exist"),
        (["."], "is neither a bag"),
        (["{run}", "--output", "."], "is a folder: name a file"),
        (["{run}", "--output", "no/page.html"], "no is no folder: make it first"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str],
    complaint: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([each.format(run=run) for each in arguments]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("vla-report: ")
    assert complaint in shown.err
    assert shown.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [run]


def test_a_damaged_recording(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (results,) = run.glob("inference_results_*.json")
    results.write_text('[\n{"timestamp": "noon", "actions": []}\n]\n', encoding="utf-8")
    assert main([str(run), "--strict"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not default_output(run).exists()
    assert main([str(run)]) == 0
    line = "left out, since it is odd: 1 of reported action chunks, no actions: "
    assert capsys.readouterr().err.startswith(f"vla-report: {line}")
    assert line in default_output(run).read_text(encoding="utf-8")


def test_a_wrong_command_line() -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2


def test_ctrl_c(tmp_path: Path) -> None:
    """While it reads a recording that never ends."""
    folder = tmp_path / "async_inference_1"
    folder.mkdir()
    (folder / "inference_results_1.json").write_text("[\n]\n", encoding="utf-8")
    os.mkfifo(folder / "robot_state_1.csv")
    command = [sys.executable, "-m", "vla_inference_ros.report.command", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            with _read_by(process, folder / "robot_state_1.csv"):
                process.send_signal(signal.SIGINT)
                _, error = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 130
    assert error == "vla-report: interrupted, nothing was written\n"
    assert list(tmp_path.iterdir()) == [folder]


@contextmanager
def _read_by(process: subprocess.Popen[str], fifo: Path) -> Iterator[None]:
    """From when the process reads a FIFO, to which nothing is written."""
    end = time.monotonic() + LIMIT
    while True:
        assert time.monotonic() < end, "it never began"
        assert process.poll() is None, process.communicate()
        try:
            writing = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nobody reads it yet
                raise
            time.sleep(0.02)
        else:
            break
    try:
        yield
    finally:
        os.close(writing)

"""A recording that any program still writes is left alone."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bags import bag, file_of, run_messages
from damaged_mcap import without_index
from saved_run import written

from vla_inference_ros.recording import in_use
from vla_inference_ros.recording.in_use import InUseError, check_ended
from vla_inference_ros.recording.recover import main, recover
from vla_inference_ros.recording.recover_bag import recover_bag

_WRITER = "import sys; file = open(sys.argv[1], sys.argv[2]); print(flush=True); input()"


@contextmanager
def opened_elsewhere(path: Path, mode: str) -> Iterator[int]:
    """Another process, which has a file open; its id."""
    with subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.stdin.write(b"\n")
            process.stdin.close()


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    folder = bag(tmp_path / "bag", run_messages())
    without_index(file_of(folder))
    (folder / "metadata.yaml").unlink()
    return folder


@pytest.fixture
def no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of some network file systems, and for who is not the file's owner."""
    fcntl_before = fcntl.fcntl

    def refused(descriptor: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETLEASE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return fcntl_before(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refused)


@pytest.mark.parametrize("mode", ["ab", "r+b"])
@pytest.mark.parametrize("leases", [True, False])
def test_a_bag_that_another_program_writes_is_left_alone(
    unfinished: Path,
    mode: str,
    leases: bool,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not leases:
        request.getfixturevalue("no_leases")
    path = file_of(unfinished)
    before = path.read_bytes()
    with opened_elsewhere(path, mode) as pid:
        for given in (unfinished, path):
            with pytest.raises(InUseError, match=rf"still being written by process {pid} \(.*-c"):
                recover_bag(given)
        assert main([str(unfinished)]) == 1
        assert f"process {pid} (" in capsys.readouterr().err
        assert path.read_bytes() == before
        assert list(unfinished.iterdir()) == [path]
    os.utime(path, (0, 0))
    assert main([str(unfinished)]) == 0


def test_who_only_reads_is_not_in_the_way(unfinished: Path) -> None:
    with opened_elsewhere(file_of(unfinished), "rb"):
        recover_bag(unfinished)


@pytest.mark.usefixtures("no_leases")
def test_where_nothing_tells_a_file_of_just_now_counts_as_written(unfinished: Path) -> None:
    path = file_of(unfinished)
    os.utime(path)
    with pytest.raises(InUseError, match=r"was written \d+ s ago, and its file system does not"):
        recover_bag(unfinished)
    before = time.time() - 60
    os.utime(path, (before, before))
    recover_bag(unfinished)


def test_a_writer_that_may_not_be_looked_at_is_one_too(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(in_use, "_PROCESSES", tmp_path / "none")
    with (
        file_of(unfinished).open("ab"),
        pytest.raises(InUseError, match="by a process that this user may not look at"),
    ):
        check_ended(unfinished, [file_of(unfinished)])


@pytest.mark.parametrize("pattern", ["robot_state_*.csv", "inference_results_*.json"])
def test_a_run_that_another_program_writes_is_left_alone(tmp_path: Path, pattern: str) -> None:
    folder = written(tmp_path)
    (path,) = folder.glob(pattern)
    with path.open("ab") as file:
        file.write(b"half a li")
        file.flush()
        before = path.read_bytes()
        with pytest.raises(InUseError, match=f"still being written by process {os.getpid()} "):
            recover(folder)
        assert path.read_bytes() == before
    recover(folder)


@pytest.mark.parametrize(
    ("make", "what"), [(os.mkfifo, "it is a FIFO, not a file"), (os.mkdir, "Is a directory")]
)
def test_what_is_no_file_is_named_as_that(
    make: Callable[[Path], None], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "bag_0.mcap")
    assert main([str(tmp_path)]) == 1
    assert what in capsys.readouterr().err

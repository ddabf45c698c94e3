"""How far an export is: what is known of a recording's length, and the bar that shows it."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from fake_recording import START, FakeRecording

from vla_inference_ros.export.length import end_of
from vla_inference_ros.export.progress import shown
from vla_inference_ros.export.to_run import to_run

BAG = """rosbag2_bagfile_information:
  version: 9
  storage_identifier: mcap
  duration:
    nanoseconds: 2500000000
  starting_time:
    nanoseconds_since_epoch: 1700000000500000000
  relative_file_paths:
  - bag_0.mcap
"""
SHOW = """
import sys
from vla_inference_ros.export.progress import shown
end = float(sys.argv[1]) or None
assert len(list(shown(((100.0 + i / 10, i) for i in range(101)), end))) == 101
"""


def test_a_bags_metadata_tell(tmp_path: Path) -> None:
    (tmp_path / "metadata.yaml").write_text(BAG, encoding="utf-8")
    assert end_of(tmp_path) == 1_700_000_003.0


@pytest.mark.parametrize("content", ["", "a: [", "rosbag2_bagfile_information: {}", BAG[:120]])
def test_damaged_metadata_do_not(tmp_path: Path, content: str) -> None:
    (tmp_path / "metadata.yaml").write_text(content, encoding="utf-8")
    assert end_of(tmp_path) is None


def test_the_last_rows_of_a_run_folder_tell(tmp_path: Path) -> None:
    fake = FakeRecording()
    to_run(fake, tmp_path, None)
    (folder,) = tmp_path.iterdir()
    last = max(each.received for each in fake.states())
    assert end_of(folder) == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize("content", ["", "recv_timestamp,view\n", "a\nb"])
def test_tables_without_rows_do_not(tmp_path: Path, content: str) -> None:
    (tmp_path / "frames_x.csv").write_text(content, encoding="utf-8")
    assert end_of(tmp_path) is None


def test_nothing_is_shown_but_on_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    timed = [(START + number, number) for number in range(5)]
    for end in (None, START + 5, START):
        assert list(shown(timed, end)) == [0, 1, 2, 3, 4]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("end", "last"), [("110.0", "10/10"), ("0", "101 things")])
def test_a_terminal_shows_how_far_it_is(end: str, last: str) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", SHOW, end], stderr=theirs, cwd=Path(__file__).parent
    )
    os.close(theirs)
    said = io.BytesIO()
    try:
        while data := os.read(ours, 4096):
            said.write(data)
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(10) == 0
    assert last in said.getvalue().decode()

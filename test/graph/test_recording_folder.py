"""A recording's folder is removed, renamed or replaced, or its place goes away, under the
recorder's hands: it lives on, and goes on in a new folder once it can.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Listener, NodeProcess
from recorded import Traffic

from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recover import main

COUNT = 20  # of everything before, and afterwards
PATTERNS = {"recorder": "async_inference_*", "bag_recorder": "bag_*"}


@pytest.fixture(params=PATTERNS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def publish(traffic: Traffic, listener: Listener, name: str, total: int) -> None:
    """Publish so many chunks and what belongs to them; until all that was sent has been saved."""
    for _ in range(COUNT):
        traffic()
        listener.spin_for(0.005)
    listener.report(name, "results", lambda report: report.accepted >= total)


def chunk_ids(folder: Path) -> list[int]:
    return [result["chunk_id"] for result in open_recording(folder).results()]


def await_trouble(listener: Listener, name: str, there: bool) -> None:
    listener.report(
        name, "frames", lambda report: ("no folder to save to" in report.troubles) == there
    )


def rename(folder: Path) -> Path:
    return folder.rename(folder.with_name("elsewhere"))


def replace(folder: Path) -> None:
    """By a link to a folder that is somebody else's."""
    rename(folder)
    foreign = folder.with_name("foreign")
    foreign.mkdir()
    folder.symlink_to(foreign)


@pytest.mark.parametrize("lose", [shutil.rmtree, rename, replace])
def test_it_goes_on_in_a_new_folder(
    name: str, lose: Callable[[Path], object], listener: Listener, tmp_path: Path
) -> None:
    output = tmp_path / "runs"
    traffic = Traffic(listener)
    node = NodeProcess(name, {"output_dir": str(output)})
    try:
        publish(traffic, listener, name, COUNT)
        (first,) = output.glob(PATTERNS[name])
        lose(first)
        node.wait_until_said(f"{first} is gone")
        node.wait_until_said("saving goes on in ")
        publish(traffic, listener, name, 2 * COUNT)
    finally:
        node.stop()  # what had not been written to a folder that was removed makes it 1
    (second,) = (each for each in output.glob(PATTERNS[name]) if not each.is_symlink())
    assert chunk_ids(second) == list(range(COUNT + 1, 2 * COUNT + 1))
    assert not list(output.glob("foreign/*"))
    assert node.said(f"of it some in {first}, which is gone")
    if (renamed := output / "elsewhere").exists():
        assert main([str(renamed)]) == 0
        assert chunk_ids(renamed) == list(range(1, COUNT + 1))


def test_while_none_can_be_made_it_says_so_and_waits(
    name: str, listener: Listener, tmp_path: Path
) -> None:
    """As of a disk that is unmounted and comes back."""
    output = tmp_path / "disk" / "runs"
    traffic = Traffic(listener)
    node = NodeProcess(name, {"output_dir": str(output)})
    try:
        publish(traffic, listener, name, COUNT)
        output.parent.rename(tmp_path / "away")
        output.parent.touch()  # so that no folder can be made there
        await_trouble(listener, name, there=True)
        for _ in range(COUNT):
            traffic()
            listener.spin_for(0.005)
        assert_lives(node)
        output.parent.unlink()
        publish(traffic, listener, name, 3 * COUNT)
        await_trouble(listener, name, there=False)
    finally:
        node.stop()  # what had not been written before the disk went away makes it 1
    (second,) = output.glob(PATTERNS[name])
    ids = chunk_ids(second)
    assert len(ids) == 2 * COUNT  # what came meanwhile as well
    assert ids == list(range(ids[0], ids[0] + 2 * COUNT))


def assert_lives(node: NodeProcess, warnings: int = 1) -> None:
    assert node.process.poll() is None
    assert len(node.said("frames: no folder to save to: ")) == warnings


# A disk of 2 MB, of which 100 kB are free, for one process and its children.
SMALL_DISK = """
mount -t tmpfs -o size=2m tmpfs "$0" && head -c 1990000 /dev/zero > "$0/others" && exec "$@"
"""
CAN_MOUNT = subprocess.run(
    ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True
)


@pytest.mark.skipif(CAN_MOUNT.returncode != 0, reason="needs to mount a small disk, as root can")
def test_a_disk_that_is_full_loses_no_result_without_a_word(
    name: str, listener: Listener, tmp_path: Path
) -> None:
    traffic = Traffic(listener)
    by = ["unshare", "-m", "sh", "-c", SMALL_DISK, str(tmp_path)]
    node = NodeProcess(name, {"output_dir": str(tmp_path), "reserve_mb": 0.0}, by)
    try:
        node.wait_until_said("saving to")
        while not node.said("No space left on device"):
            traffic()
            listener.spin_for(0.005)
            assert traffic.count < 10_000
        assert_lives(node, 0)
    finally:
        status = node.stop()
    assert status == 1
    unit = {"recorder": "action chunks", "bag_recorder": "messages of results"}[name]
    (line,) = [line for line in node.lines if re.match(rf" +\d+ {unit}", line)]
    saved, lost = (int(number) for number in re.findall(r"\d+", line))
    assert re.fullmatch(rf"  {saved} {unit}.*, {lost} lost, disk", line)
    assert saved + lost == traffic.count
    assert lost > 0

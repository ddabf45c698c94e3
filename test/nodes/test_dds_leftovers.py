from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import TIMEOUT

from vla_inference_ros.nodes.dds_leftovers import remove_leftovers

OLD, RECENT = 3600.0, 5.0  # ages [s]
UNMADE, BEING_MADE, MADE = (struct.pack("=I", word) + bytes(1000) for word in (0, 1, 2))


def left_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def put(path: Path, content: bytes, age: float) -> None:
    path.write_bytes(content)
    then = time.time() - age
    os.utime(path, (then, then))


def test_segments_of_processes_that_were_killed_are_removed_and_no_others(tmp_path: Path) -> None:
    living, dead = "fastdds_0123456789abcdef", "fastrtps_fedcba9876543210"
    port, foreign = "fastdds_port7411", "other_0123456789abcdef"
    for name in (living, dead, port, foreign):
        (tmp_path / name).write_bytes(bytes(1000))
        (tmp_path / f"{name}_el").touch()
    with (tmp_path / f"{living}_el").open("ab") as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
    left = {file.name.removesuffix("_el") for file in tmp_path.iterdir()}
    assert left == {living, port, foreign}


@pytest.mark.parametrize("lock", ["_el", "_sl", ""])
@pytest.mark.parametrize("port", [61000, 65198])
def test_an_old_queue_that_nobody_listens_at_is_removed(
    tmp_path: Path, port: int, lock: str
) -> None:
    """Who only sends makes one, and holds it open, without a lock."""
    queue = tmp_path / f"fastrtps_port{port}"
    put(queue, MADE, OLD)
    (tmp_path / f"sem.{queue.name}_mutex").touch()
    if lock:
        (tmp_path / f"{queue.name}{lock}").touch()
    remove_leftovers(tmp_path)
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("content", [MADE, UNMADE, BEING_MADE, b""])
@pytest.mark.parametrize("lock", ["_el", "_sl"])
@pytest.mark.parametrize("port", [61000, 7411])
def test_a_queue_that_somebody_listens_at_stays(
    tmp_path: Path, port: int, lock: str, content: bytes
) -> None:
    queue = tmp_path / f"fastdds_port{port}"
    put(queue, content, OLD)
    with (tmp_path / f"{queue.name}{lock}").open("ab") as owner:
        fcntl.flock(owner, fcntl.LOCK_SH)
        remove_leftovers(tmp_path)
    assert left_in(tmp_path) == {queue.name, f"{queue.name}{lock}"}
    assert queue.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "age"),
    [("fastdds_port61004", RECENT), ("fastdds_port7411", OLD), ("other_port61004", OLD)],
)
def test_a_young_queue_and_those_of_other_programs_stay(
    tmp_path: Path, name: str, age: float
) -> None:
    put(tmp_path / name, MADE, age)
    (tmp_path / f"{name}_el").touch()
    remove_leftovers(tmp_path)
    assert left_in(tmp_path) == {name, f"{name}_el"}


@pytest.mark.parametrize("content", [b"", UNMADE, BEING_MADE])
@pytest.mark.parametrize("name", ["fastdds_port61004", "fastrtps_port7411", "fastdds_port7003"])
def test_a_queue_whose_maker_was_killed_meanwhile_is_removed(
    tmp_path: Path, name: str, content: bytes
) -> None:
    put(tmp_path / name, content, 0.0)
    remove_leftovers(tmp_path)
    assert left_in(tmp_path) == {name}  # perhaps its maker is about to go on
    put(tmp_path / name, content, RECENT)
    with (tmp_path / name).open("rb") as waiting:
        remove_leftovers(tmp_path)
        assert left_in(tmp_path) == set()
        assert os.fstat(waiting.fileno()).st_size == (len(content) or 1)


START = """
import sys
from vla_inference_ros.nodes import dds_profile
port = int(sys.argv[1])
dds_profile.DATA_PORTS = range(port, port + 1)
import rclpy
from vla_inference_ros.nodes.middleware import set_up_middleware
set_up_middleware()
rclpy.init()
rclpy.create_node("starting")
print("started", flush=True)
"""


@pytest.mark.parametrize("content", [b"", UNMADE])
def test_a_node_starts_where_a_queue_was_left_half_made(tmp_path: Path, content: bytes) -> None:
    ports = range(65001, 65041, 2)  # none that others choose; which, depends on how many there are
    names = [f"{kind}_port{port}" for kind in ("fastdds", "fastrtps") for port in ports]
    queues = [Path("/dev/shm", name) for name in names]
    try:
        for queue in queues:
            put(queue, content, RECENT)
        done = subprocess.run(
            [sys.executable, "-c", START, str(ports[0])],
            capture_output=True,
            timeout=TIMEOUT,
            encoding="utf-8",
            cwd=tmp_path,  # not where the sources are, which lack what is built
        )
        assert (done.stdout, done.stderr, done.returncode) == ("started\n", "", 0)
    finally:
        for queue in queues:
            for each in queue.parent.glob(f"*{queue.name}*"):
                each.unlink()


def test_without_shared_memory_there_is_nothing_to_remove(tmp_path: Path) -> None:
    remove_leftovers(tmp_path / "none")

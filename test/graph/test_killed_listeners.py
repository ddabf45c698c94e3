"""Listeners that are killed while they hear must not silence who publishes, nor keep it busy.

What lies unread in a dead listener's queue keeps its place in the publisher's shared memory. In a
small one there is soon no hole for a picture, and Fast DDS drops them all, to everybody, unsaid.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from harness import TIMEOUT, Listener
from picture_peer import HEARS, TOPICS
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.nodes.dds_profile import DATA_PORTS

_KILLS, _SHORT_KILLS = 10, 3  # in full and in CI
_BETWEEN = 0.5  # a dead one is listed for longer: they add up [s]
_LISTED = 4.0  # longer than a dead one is [s]
_SILENCE = 3.0  # of a topic whose pictures come every 0.05 s [s]


@contextmanager
def peer(role: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is killed at the end."""
    script = Path(__file__).parents[1] / "support" / "picture_peer.py"
    process = subprocess.Popen(
        [sys.executable, str(script), role], stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait(TIMEOUT)
        process.stdout.close()


def test_killed_listeners_silence_no_topic(listener: Listener, full: bool, patience: float) -> None:
    heard = [listener.listen(CompressedImage, topic) for topic in TOPICS]

    def silent_for(seconds: float) -> list[str]:
        """The topics of which nothing comes so long."""
        before: list[int] = [len(pictures) for pictures in heard]
        end = time.monotonic() + seconds

        def silent() -> list[str]:
            return [
                topic
                for topic, pictures, count in zip(TOPICS, heard, before, strict=True)
                if len(pictures) == count
            ]

        listener.spin_until(lambda: not silent() or time.monotonic() > end)
        return silent()

    with peer("writer"):
        listener.spin_until(lambda: all(heard))
        for _ in range(_KILLS if full else _SHORT_KILLS):
            with peer("reader") as reader:
                assert _first_line(reader, listener) == HEARS
            listener.spin_for(_BETWEEN)
            assert not silent_for(_SILENCE * patience)


def test_a_killed_listener_soon_costs_its_publisher_nothing(
    listener: Listener, patience: float
) -> None:
    """For each piece of a picture that it sends to a queue which it knows is dead, Fast DDS makes
    the queue anew, and removes it: a core's work, as long as the listener is listed.
    """
    made: set[tuple[str, int]] = set()

    def look() -> None:
        for path in queues:
            with suppress(FileNotFoundError):
                made.add((path.name, path.stat().st_ino))

    with peer("writer"):
        heard = listener.listen(CompressedImage, TOPICS[0])
        with peer("reader") as reader:
            assert _first_line(reader, listener) == HEARS
            queues = _data_queues(reader.pid)
            assert queues
        listener.spin_for(_LISTED * patience)
        end, count = time.monotonic() + _SILENCE, len(heard)
        listener.spin_until(lambda: time.monotonic() > end, look)
        assert len(heard) > count
    assert len(made) <= len(queues)


def _data_queues(process: int) -> set[Path]:
    """The queues in shared memory for what is sent to a process of this package."""
    mapped = Path(f"/proc/{process}/maps").read_text(encoding="utf-8")
    found = set(re.findall(r"/dev/shm/fast\w+_port\d+\b", mapped))
    return {Path(path) for path in found if int(re.sub(r"\D", "", path)) >= DATA_PORTS.start}


def _first_line(process: subprocess.Popen[str], listener: Listener) -> str:
    """What a process says first, while the listener goes on hearing."""
    with ThreadPoolExecutor(1) as pool:
        assert process.stdout is not None
        line = pool.submit(process.stdout.readline)
        listener.spin_until(line.done)
    return line.result().strip()

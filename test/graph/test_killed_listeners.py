"""Listeners that are killed while they hear must not silence who publishes.

What lies unread in a dead listener's queue keeps its place in the publisher's shared memory. In a
small one there is soon no hole for a picture, and Fast DDS drops them all, to everybody, unsaid.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from harness import TIMEOUT, Listener
from picture_peer import HEARS, TOPICS
from sensor_msgs.msg import CompressedImage

_KILLS, _SHORT_KILLS = 10, 3  # in full and in CI
_BETWEEN = 3.0  # so long a dead one is taken for alive, and more [s]
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


def test_killed_listeners_silence_no_topic(listener: Listener, full: bool) -> None:
    heard = [listener.listen(CompressedImage, topic) for topic in TOPICS]

    def hear_for(seconds: float) -> list[str]:
        """The topics of which nothing has come meanwhile."""
        before: list[int] = [len(pictures) for pictures in heard]
        listener.spin_for(seconds)
        return [
            topic
            for topic, pictures, count in zip(TOPICS, heard, before, strict=True)
            if len(pictures) == count
        ]

    with peer("writer"):
        listener.spin_until(lambda: all(heard))
        for _ in range(_KILLS if full else _SHORT_KILLS):
            with peer("reader") as reader:
                assert _first_line(reader, listener) == HEARS
            hear_for(_BETWEEN)
            assert not hear_for(_SILENCE)


def _first_line(process: subprocess.Popen[str], listener: Listener) -> str:
    """What a process says first, while the listener goes on hearing."""
    with ThreadPoolExecutor(1) as pool:
        assert process.stdout is not None
        line = pool.submit(process.stdout.readline)
        listener.spin_until(line.done)
    return line.result().strip()

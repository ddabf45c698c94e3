"""Removes the ports in shared memory that killed nodes have left, as ``fastdds shm clean`` does.

What is sent to a port that a dead process has left behind can be lost to the next process that gets
the same one: it is not found by the others for half a minute.
"""

from __future__ import annotations

import gc
from pathlib import Path

from ports import FIRST_PORT, PORTS

_FOLDER = Path("/dev/shm")


def remove_leftovers(domain: int) -> None:
    """Of a ROS domain in which no process is running now.

    What this process has shut down itself may still hold its ports until it is collected: the next
    to listen would then do so on files that nobody finds.
    """
    gc.collect()
    first = FIRST_PORT + PORTS * domain
    for port in range(first, first + PORTS):
        for name in (f"fastdds_port{port}", f"fastrtps_port{port}"):
            for file in (name, f"{name}_el", f"{name}_sl", f"sem.{name}_mutex"):
                (_FOLDER / file).unlink(missing_ok=True)

"""What does it cost the camera bridge that one who listens to its pictures is killed?

The launched nodes with the stub for a model get the rig's full rate; the VLM, or the recorder, is
killed with SIGKILL and started again. Prints the bridge's CPU time before, and in each two seconds
after, as a share of a core and as a ratio to before. Exit status 1 if it is ever over 3 times that
and over half a core more, or if the one that was killed is not started again.

    .venv/bin/python bench/killed.py [--node recorder] [--seconds 24]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from full_rate import started
from launched import cpu_seconds_of

_BRIDGE = "camera_bridge"
_STEP = 2.0  # [s]
_BEFORE = 4.0  # [s]
_RATIO_LIMIT, _MORE_LIMIT = 3.0, 0.5  # [1], [cores]


def share(pid: int, seconds: float) -> float:
    """Of a core, that a process takes in the next seconds."""
    begin, before = time.monotonic(), cpu_seconds_of(pid)
    time.sleep(seconds)
    return (cpu_seconds_of(pid) - before) / (time.monotonic() - begin)


def main() -> int:
    """Kill one and watch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--node", default="vlm", choices=["vlm", "recorder"])
    parser.add_argument("--seconds", type=float, default=24.0, help="how long to watch")
    parser.add_argument("--log", type=Path, default=Path("/tmp/killed.log"), help="nodes' output")
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "95")  # not that of the other benches
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        given = {"save_data": "true", "output_dir": folder, "respawn": "true"}
        launch = stack.enter_context(started(given, arguments.log)).launch
        bridge = launch.process_of(_BRIDGE)
        before = share(bridge, _BEFORE)
        print(f"{_BRIDGE} before: {before:.2f} of a core", flush=True)
        victim = launch.process_of(arguments.node)
        launch.kill(arguments.node)
        worst = 0.0
        begin = time.monotonic()
        while (since := time.monotonic() - begin) < arguments.seconds:
            after = share(bridge, _STEP)
            worst = max(worst, after)
            print(f"{since:4.0f} s after: {after:.2f}, x {after / before:.1f}", flush=True)
        is_back = launch.process_of(arguments.node) != victim
    kept = is_back and worst <= max(_RATIO_LIMIT * before, before + _MORE_LIMIT)
    print(f"worst: {worst:.2f} of a core, x {worst / before:.1f}: {'ok' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

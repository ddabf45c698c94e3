"""Has the nodes stand still for some seconds (SIGSTOP): how soon are chunks OK again?

Either all of them, with the senders and the bench itself, as when the whole machine stands still;
or only those that are named, while the others go on. Exit status 1 if chunks were not OK again
within 3 s in a round: with ``--only`` that happens, see RESULTS.md.

    .venv/bin/python bench/stood_still.py [--only vlm action_expert] [--seconds 8] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from faults import Sweep, recovery_time
from rig import Rig, started

_BETWEEN = 3.0  # [s]
_LIMIT, _GIVE_UP = 3.0, 25.0  # until chunks are OK again [s]
_LOOK_PERIOD = 0.1  # [s]


def stand_still(rig: Rig, names: Sequence[str], seconds: float) -> float:
    """Have the nodes of these names, or else everything, stand still; when that ended [Unix s]."""
    pids = [rig.launch.process_of(name) for name in names] or _everything()
    for pid in pids:
        with suppress(ProcessLookupError):  # ps, which has listed itself
            if pid != os.getpid():
                os.kill(pid, signal.SIGSTOP)
    if names:
        time.sleep(seconds)
    else:
        wake = f"sleep {seconds}; kill -CONT {os.getpid()}"
        subprocess.Popen(["sh", "-c", wake], start_new_session=True)
        os.kill(os.getpid(), signal.SIGSTOP)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    return time.time()


def _everything() -> list[int]:
    """This process and all that it, and those, have started."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.stdout.splitlines())}
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def main() -> int:
    """Do all rounds and print each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="nodes; by default everything")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long they stand still")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--log", type=Path, default=Path("/tmp/stood_still.log"))
    arguments = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "94")  # not that of the other benches
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    kept = True
    with started(arguments.log) as rig:
        Sweep(rig).wait_until_good()
        for number in range(arguments.rounds):
            time.sleep(_BETWEEN)
            end = stand_still(rig, arguments.only, arguments.seconds)
            recovery = None
            while recovery is None and time.time() < end + _GIVE_UP:
                time.sleep(_LOOK_PERIOD)
                flow = [(heard.stamp, heard.ok) for heard in rig.listener.chunks[-100:]]
                recovery = recovery_time(flow, end)
            ok = recovery is not None and recovery <= _LIMIT
            kept = kept and ok
            told = "never" if recovery is None else f"after {recovery:.1f} s"
            print(f"{number + 1}: OK again {told}: {'ok' if ok else 'MISSED'}", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the size of messages costs, and what it saves, where pictures go over shared memory, over a
wire and over one that delays and loses packets.

Each is a run of five views from one process to others by plain topics, with the package's profile
and one size of messages: on this host with three readers, over a clean wire at full rate, over a
wire with 20 ms and 1 % loss with 40 kB pictures at 6 /s. Exit status 1 if pictures are lost, or if
the size that is the default does not keep the limits of the lossy wire. The wires need the right to
make network namespaces.

    .venv/bin/python bench/transport.py [--seconds 20] [--sizes 65500 16000 4000 1400]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from report import Row, show
from two_hosts import Reassembly, TwoHosts, Wire, environment, two_hosts

from vla_inference_ros.graph import MESSAGE_BYTES
from vla_inference_ros.nodes.dds_profile import NETWORK_MESSAGE

_SIZES = (65500, 16000, 8000, 4000, 1400)
_DEFAULT = NETWORK_MESSAGE
_BODIES = Path(__file__).with_name("picture_stream.py").resolve()
_VIEWS = 5
_LINUX = Reassembly()
_PATIENCE = 30.0  # over a run's own time [s]
_START = 1.0  # of a reader [s]

Command = Callable[..., list[str]]


@dataclass(frozen=True, slots=True)
class Load:
    """Pictures of ``size`` [bytes] at ``fps`` of each view, to so many ``readers``."""

    fps: float
    size: int
    readers: int = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run: the parts of pictures that came and, of what was on the wire, over the payload;
    times [s], CPU [cores] and ``reassembly``, the kernel's memory for cut messages [bytes].
    """

    arrived: float
    latencies: Any
    worst_gap: float
    cpu: float
    traffic: float = 0.0
    reassembly: int = 0


FULL_RATE, SLOW = Load(30.0, 150_000), Load(6.0, 40_000)
CLEAN, LOSSY = Wire(), Wire(0.02, 0.01)


def run(
    load: Load,
    seconds: float,
    message_bytes: int,
    wire: Wire | None,
    reassembly: Reassembly = _LINUX,
    *,
    by_address: bool = False,
) -> Outcome:
    """Pictures for so many seconds over a wire, or on this host. With 0 ``message_bytes`` the size
    is as the profile has it; ``by_address`` the hosts do not find each other by multicast, but are
    told of each other. Raises NotPossibleError.
    """
    with two_hosts(wire, reassembly) if wire else nullcontext() as hosts:
        sends: Command = hosts.first.command if hosts else _here
        receives: Command = hosts.second.command if hosts else _here
        extra = {MESSAGE_BYTES: str(message_bytes)} if message_bytes else {}
        if by_address and hosts:
            addresses = f"{hosts.first.address};{hosts.second.address}"
            extra |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_STATIC_PEERS": addresses}
        started = [_start(receives, extra, "receive") for _ in range(load.readers)]
        try:
            time.sleep(_START)
            given = ("--fps", load.fps, "--size", load.size, "--seconds", seconds)
            sender = _start(sends, extra, "publish", *given, "--readers", load.readers)
            started.append(sender)
            memory = 0
            deadline = time.monotonic() + seconds + _PATIENCE
            while sender.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
                memory = max(memory, _reassembly(receives))
            sender.terminate()
            sent = json.loads(sender.communicate()[0] or '{"sent": 0, "cpu": 0.0}')
            heard = [_stop(reader) for reader in started[:-1]]
        finally:
            for process in started:
                process.kill()
        pictures = _VIEWS * sent["sent"]
        return Outcome(
            arrived=min(sum(each["received"]) for each in heard) / max(1, pictures),
            latencies=np.concatenate([[np.inf], *(each["latencies"] for each in heard)])[1:],
            worst_gap=max(each["worst_gap"] for each in heard),
            cpu=sent["cpu"] + sum(each["cpu"] for each in heard) / seconds,
            traffic=_carried(hosts) / max(1, pictures * load.size),
            reassembly=memory,
        )


def _start(place: Command, extra: dict[str, str], *arguments: object) -> subprocess.Popen[bytes]:
    command = place(Path(sys.executable).absolute(), _BODIES, *arguments)
    return subprocess.Popen(command, env=environment(extra), stdout=subprocess.PIPE)


def _stop(reader: subprocess.Popen[bytes]) -> dict[str, Any]:
    reader.send_signal(signal.SIGTERM)
    heard: dict[str, Any] = json.loads(reader.communicate(timeout=_PATIENCE)[0])
    return heard


def _here(*command: object) -> list[str]:
    return [*map(str, command)]


def _carried(hosts: TwoHosts | None) -> int:
    return hosts.carried()[0] if hosts else 0


def _reassembly(place: Command) -> int:
    """The kernel's memory for messages of which pieces are missing [bytes]."""
    text = subprocess.run(place("cat", "/proc/net/sockstat"), stdout=subprocess.PIPE, text=True)
    (line,) = [line for line in text.stdout.splitlines() if line.startswith("FRAG:")]
    return int(line.split()[4])


def rows(outcome: Outcome, lossy: bool = False) -> list[Row]:
    """The report of a run; with limits, if the wire was ``lossy``."""
    least = 0.98 if lossy else 1.0
    p50, p99 = np.percentile(outcome.latencies, [50, 99]) * 1e3 if outcome.arrived else (0.0, 0.0)
    gap = ("< 1", outcome.worst_gap < 1.0) if lossy else ("", None)
    traffic = ("< 2", outcome.traffic < 2.0) if lossy else ("", None)
    return [
        Row(
            "pictures that arrived [%]",
            f"{outcome.arrived * 100:.2f}",
            f">= {least * 100:g}",
            outcome.arrived >= least,
        ),
        Row("  p50 / p99 of their time on the way [ms]", f"{p50:.1f} / {p99:.1f}"),
        Row("  longest time without one of a view [s]", f"{outcome.worst_gap:.2f}", *gap),
        Row("bytes on the wire over those of pictures", f"{outcome.traffic:.2f}", *traffic),
        Row("kernel's memory for cut messages [MB]", f"{outcome.reassembly / 1e6:.2f}"),
        Row("CPU of all [cores]", f"{outcome.cpu:.3f}"),
    ]


def main() -> int:
    """Measure every size in every place, print all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run")
    parser.add_argument("--sizes", type=int, nargs="*", default=_SIZES, help="of messages [bytes]")
    given = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", "96")
    kept = True
    here = Load(FULL_RATE.fps, FULL_RATE.size, readers=3)
    for size in given.sizes:
        ours = size == _DEFAULT
        for place, load, wire in (
            ("this host, full rate, 3 readers", here, None),
            ("clean wire, full rate", FULL_RATE, CLEAN),
            ("20 ms and 1 % loss, 5 x 6/s of 40 kB", SLOW, LOSSY),
        ):
            outcome = run(load, given.seconds, size, wire)
            title = f"messages of {size} bytes, {place}, {given.seconds:g} s"
            ok = show(title, rows(outcome, lossy=wire is LOSSY))
            kept &= ok or not ours
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

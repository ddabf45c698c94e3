"""Two hosts on one machine, joined by a wire that delays and loses packets.

Each host is a network namespace with an Ethernet interface, a loopback and a /dev/shm of its own; a
process carries every frame from one interface to the other, IP fragments one by one. Needs the
right to make namespaces and /dev/net/tun.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import multiprocessing
import os
import random
import select
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

_TUN = Path("/dev/net/tun")
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
_FRAME = 65536  # more than any Ethernet frame [bytes]
_BATCH = 64  # frames taken from one interface before the other has its turn
_QUEUE = 1000  # that an interface holds for the wire, as Linux has it
_SEED = 5
_READY = 10.0  # until the wire has its interfaces [s]
# Waits for its input's end: a host lasts as long as who made it, however that ends.
_INSIDE = (
    "mount -t tmpfs -o size=1g tmpfs /dev/shm && ip link set lo up && echo ready && exec cat >&2"
)


class NotPossibleError(Exception):
    """This system has no such hosts; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Wire:
    """``delay`` [s] in each direction, and which part of the packets is lost."""

    delay: float = 0.0
    loss: float = 0.0


@dataclass(frozen=True, slots=True)
class Host:
    """One of the two, with its ``address``."""

    address: str
    process: subprocess.Popen[bytes]

    def command(self, *command: object) -> list[str]:
        """The command line that runs ``command`` on this host."""
        target = ["nsenter", "-t", str(self.process.pid), "-n", "-m", "--"]
        return [*target, *map(str, command)]


@dataclass(frozen=True, slots=True)
class TwoHosts:
    """Two hosts, and the bytes and packets that have been put on the wire so far."""

    first: Host
    second: Host
    _bytes: Synchronized[int]
    _packets: Synchronized[int]

    def carried(self) -> tuple[int, int]:
        """Bytes and packets, both ways together, those that were lost among them."""
        return self._bytes.value, self._packets.value


@dataclass(frozen=True, slots=True)
class Reassembly:
    """A host's ``room`` [bytes] for messages of which pieces are missing, and ``time`` [s] that it
    waits for these; as Linux has it.
    """

    room: int = 4 << 20
    time: int = 30


@contextmanager
def two_hosts(wire: Wire, reassembly: Reassembly) -> Iterator[TwoHosts]:
    """Two hosts while the block runs. Raises NotPossibleError."""
    if not _TUN.exists():
        raise NotPossibleError(f"there is no {_TUN}")
    with ExitStack() as stack:
        hosts = [_host(stack, f"10.77.0.{number}") for number in (1, 2)]
        context = multiprocessing.get_context("spawn")
        count = context.Value("Q", 0, lock=False), context.Value("Q", 0, lock=False)
        ready, stop = context.Event(), context.Event()
        names = [f"wire{os.getpid()}_{number}"[-15:] for number in (1, 2)]
        carrier = context.Process(target=_carry, args=(names, wire, *count, ready, stop))
        carrier.start()
        stack.callback(_end, carrier, stop)
        if not ready.wait(_READY):
            raise NotPossibleError(f"{_TUN} gives no interface")
        for host, name in zip(hosts, names, strict=True):
            _run("ip", "link", "set", name, "netns", host.process.pid)
            _run(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", name))
            _run(*host.command("ip", "link", "set", name, "txqueuelen", _QUEUE, "up"))
            _run(*host.command("ip", "route", "add", "224.0.0.0/4", "dev", name))
            for kernel, value in (
                ("ipfrag_low_thresh", reassembly.room // 2),
                ("ipfrag_high_thresh", reassembly.room),
                ("ipfrag_time", reassembly.time),
            ):
                file = f"/proc/sys/net/ipv4/{kernel}"
                _run(*host.command("sh", "-c", f"echo {value} > {file}"))
        yield TwoHosts(hosts[0], hosts[1], *count)


def _host(stack: ExitStack, address: str) -> Host:
    try:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", _INSIDE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise NotPossibleError(f"no namespaces: {error}") from error
    stack.callback(process.communicate)  # ends its input
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        raise NotPossibleError(f"no namespaces: {process.communicate()[1].decode().strip()}")
    return Host(address, process)


def _run(*command: object) -> None:
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    except OSError as error:
        raise NotPossibleError(str(error)) from error
    if done.returncode:
        raise NotPossibleError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def _end(carrier: Any, stop: Event) -> None:
    stop.set()
    carrier.join()


def _carry(
    names: list[str],
    wire: Wire,
    count: Synchronized[int],
    packets: Synchronized[int],
    ready: Event,
    stop: Event,
) -> None:
    """The wire, as a process of its own."""
    ends = [_interface(name) for name in names]
    other = dict(zip(ends, reversed(ends), strict=True))
    ready.set()
    chance = random.Random(_SEED)
    on_the_way: list[tuple[float, int, int, bytes]] = []  # due [monotonic s], number, to, frame
    number = 0
    while not stop.is_set():
        wait = min(0.1, max(0.0, on_the_way[0][0] - time.monotonic())) if on_the_way else 0.1
        for end in select.select(ends, [], [], wait)[0]:
            now = time.monotonic()
            for _ in range(_BATCH):
                try:
                    frame = os.read(end, _FRAME)
                except OSError:  # nothing more, or not up yet
                    break
                number += 1
                count.value += len(frame)
                packets.value += 1
                if chance.random() >= wire.loss:
                    heapq.heappush(on_the_way, (now + wire.delay, number, other[end], frame))
        now = time.monotonic()
        while on_the_way and on_the_way[0][0] <= now:
            _, _, end, frame = heapq.heappop(on_the_way)
            with contextlib.suppress(OSError):  # not up yet
                os.write(end, frame)


def _interface(name: str) -> int:
    end = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK)
    flags = _IFF_TAP | _IFF_NO_PI
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return end


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """For a process on a host: this one's, without what would keep it to its machine."""
    confining = {"ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS"}
    return {name: value for name, value in os.environ.items() if name not in confining} | {**extra}

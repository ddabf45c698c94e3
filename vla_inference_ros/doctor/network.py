"""What ROS's middleware and the sensor's socket need of this host's network and shared memory."""

from __future__ import annotations

import math
import os
import re
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.doctor.result import Result, ok, problem, skipped, warning
from vla_inference_ros.graph import MESSAGE_BYTES
from vla_inference_ros.nodes import dds_profile

RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
LEAST_FREE = 128e6  # in /dev/shm: what all nodes take, with recorders and live view [bytes]
LEAST_RATE = 1.5e6  # that comes through a bad link: five views of 40 kB at 6/s and more [bytes/s]
SAFE_LEFTOVERS = 20  # segments and ports; a killed run leaves about two a node
_RANGE, _LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
_PEERS = "ROS_STATIC_PEERS"
_UP = 0x1  # IFF_UP, in an interface's flags
_CAP_NET_ADMIN = 12  # the capability to go over net.core.rmem_max
_DDS_GROUP = "239.255.0.1"  # to which participants announce themselves (DDS-RTPS 2.2, 9.6.1.4)
# What IP cuts a message into [bytes]; what the kernel takes for one that is incomplete, over its
# own size, as measured; and the loss that a bad link is judged by.
_PIECE, _OVERHEAD, _LOSS = 1480, 1.5, 0.01
_ANSWER_TIME = 0.5  # until what was sent to oneself has come, or will not [s]


@dataclass(frozen=True, slots=True)
class SharedMemoryFacts:
    """Of Fast DDS in /dev/shm: ``leftovers`` are segments and ports whose processes have ended,
    ``leftover_bytes`` what they take, ``free`` [bytes] what is left of ``total``. ``free`` is
    negative where there is no such folder.
    """

    free: float
    leftovers: int = 0
    leftover_bytes: int = 0
    total: float = math.inf


@dataclass(frozen=True, slots=True)
class BufferFacts:
    """``limit`` is net.core.rmem_max [bytes], negative if it is not known; ``may_exceed`` whether
    this user has the right to go over it.
    """

    limit: int
    may_exceed: bool


def gather_loopback(sys: Path = Path("/sys")) -> str:
    """What is wrong with the loopback interface; '' if nothing is, or nothing can be known."""
    interfaces = sys / "class" / "net"
    if not interfaces.is_dir():
        return ""
    try:
        flags = int((interfaces / "lo" / "flags").read_text(encoding="utf-8"), 16)
    except FileNotFoundError:
        return "there is no interface lo"
    return "" if flags & _UP else "lo is down"


def loopback(fault: str) -> Result:
    """Whether nodes on this host reach each other, and the simulated senders the bridges."""
    check = "loopback"
    if fault:
        return problem(check, fault, "sudo ip link set lo up")
    return ok(check, "lo is up")


def gather_multicast() -> str:
    """Send a datagram to the group of DDS that does not leave this host; what went wrong, or ''."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.settimeout(_ANSWER_TIME)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        try:
            receiver.bind(("", 0))
            anywhere = struct.pack("4s4s", socket.inet_aton(_DDS_GROUP), bytes(4))
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, anywhere)
            sender.sendto(b"vla-doctor", (_DDS_GROUP, receiver.getsockname()[1]))
            receiver.recv(64)
        except TimeoutError:
            return "a datagram to a multicast group does not come back: is it filtered?"
        except OSError as error:  # no route, no interface
            return f"no route for multicast: {error.strerror or error}"
    return ""


def discovery(environment: Mapping[str, str], multicast_fault: str) -> Result:
    """Whether nodes find each other, as the discovery range and multicast allow."""
    check = "discovery"
    if environment.get(_LOCALHOST_ONLY, "0") == "1":
        return warning(
            check,
            f"{_LOCALHOST_ONLY}=1 is deprecated, and goes before {_RANGE}",
            f"unset {_LOCALHOST_ONLY}; export {_RANGE}=LOCALHOST",
        )
    chosen = environment.get(_RANGE, "") or "SUBNET"
    if chosen not in RANGES:
        return problem(
            check,
            f"{_RANGE} is {chosen!r}, none of {', '.join(RANGES)}",
            f"export {_RANGE}=SUBNET, or LOCALHOST if all nodes run on this machine",
        )
    if chosen == "OFF":
        return problem(
            check,
            f"{_RANGE}=OFF: no node finds another, on this machine either",
            f"export {_RANGE}=LOCALHOST, in every shell",
        )
    if chosen == "SUBNET" and multicast_fault:
        return warning(
            check,
            f"{multicast_fault}; nodes on other machines are not found",
            f"export {_RANGE}=LOCALHOST if all nodes run here, else sudo ip route add 224.0.0.0/4 "
            "dev INTERFACE and let the firewall pass it",
        )
    return ok(check, f"{_RANGE} is {chosen}" + ("" if multicast_fault else ", multicast works"))


def gather_shared_memory(
    folder: Path = Path("/dev/shm"), locks: Path = Path("/proc/locks")
) -> SharedMemoryFacts:
    """Looks only: whether a process still has a segment is told by the lock that it holds."""
    if not folder.is_dir():
        return SharedMemoryFacts(-1.0)
    found = os.statvfs(folder)
    free, total = (float(blocks) * found.f_frsize for blocks in (found.f_bavail, found.f_blocks))
    try:
        held = set(re.findall(r":(\d+) \d+ \S+$", locks.read_text(encoding="utf-8"), re.MULTILINE))
    except OSError:  # the kernel does not tell: nothing is known to be left
        return SharedMemoryFacts(free, total=total)
    leftovers, size = 0, 0
    for file in folder.iterdir():
        named = re.fullmatch(r"fast(?:dds|rtps)_(?:port(\d+)|[0-9a-f]{16})", file.name)
        if not named or int(named[1] or 0) >= dds_profile.DATA_PORTS[0]:
            continue  # or one of our own nodes' ports: the next to start removes what is left
        inodes = []
        for kind in ("_el", "_sl"):
            with suppress(FileNotFoundError):
                inodes.append(str(file.with_name(file.name + kind).stat().st_ino))
        if inodes and held.isdisjoint(inodes):
            with suppress(FileNotFoundError):  # its process has just ended, and took it along
                size += file.stat().st_size
                leftovers += 1
    return SharedMemoryFacts(free, leftovers, size, total)


def shared_memory(facts: SharedMemoryFacts) -> Result:
    """Whether there is room in shared memory, and little rubbish."""
    check = "shared memory"
    if facts.free < 0:
        return warning(
            check,
            "/dev/shm does not exist, so all goes over the network stack",
            "mount a tmpfs there (docker: --shm-size=1g)",
        )
    told = (
        f"{facts.free / 1e6:.0f} MB free in /dev/shm, {facts.leftovers} leftover(s) of ended "
        f"processes with {facts.leftover_bytes / 1e6:.1f} MB"
    )
    if facts.total < dds_profile.LEAST_SHARED_MEMORY:
        return warning(
            check,
            f"{told}; of {facts.total / 1e6:.0f} MB in all, where "
            f"{dds_profile.LEAST_SHARED_MEMORY / 1e6:.0f} are needed: pictures are lost while the "
            "machine is busy",
            dds_profile.MORE_SHARED_MEMORY,
        )
    if facts.free < LEAST_FREE:
        return warning(check, told, f"run 'fastdds shm clean'; {dds_profile.MORE_SHARED_MEMORY}")
    if facts.leftovers > SAFE_LEFTOVERS:
        return warning(
            check,
            f"{told}: a new node of another package, or a tool, may get the port of one, and is "
            "then found late, or never",
            "run 'fastdds shm clean' while no node runs",
        )
    return ok(check, told)


def gather_buffer(proc: Path = Path("/proc")) -> BufferFacts:
    """The kernel's limit on receive buffers, and this process's rights."""
    try:
        limit = int((proc / "sys" / "net" / "core" / "rmem_max").read_text(encoding="utf-8"))
    except FileNotFoundError:
        limit = -1
    rights = 0
    with suppress(FileNotFoundError):
        match = re.search(
            r"CapEff:\s*(\S+)", (proc / "self" / "status").read_text(encoding="utf-8")
        )
        rights = int(match[1], 16) if match else 0
    return BufferFacts(limit, bool(rights >> _CAP_NET_ADMIN & 1))


def receive_buffer(facts: BufferFacts, wanted: int) -> Result:
    """Whether sensor_bridge gets the buffer that it asks for, and the middleware as much."""
    check = "receive buffer"
    if facts.limit < 0:
        return skipped(check, "the kernel does not show net.core.rmem_max here")
    told = f"net.core.rmem_max is {facts.limit} bytes"
    if facts.limit >= wanted:
        return ok(check, f"{told}, receive_buffer {wanted}")
    if facts.may_exceed:
        return ok(check, f"{told}, which this user may exceed: receive_buffer is {wanted}")
    return warning(
        check,
        f"{told}, but receive_buffer asks for {wanted}: samples, and pictures from other hosts, "
        "can be lost on a busy machine",
        f"sudo sysctl -w net.core.rmem_max={wanted}",
    )


@dataclass(frozen=True, slots=True)
class ReassemblyFacts:
    """Of messages that IP has cut: ``room`` [bytes] for those of which pieces are missing, and
    ``time`` [s] that each is kept; ``room`` is negative if it is not known.
    """

    room: int
    time: float = 0.0


def gather_reassembly(proc: Path = Path("/proc")) -> ReassemblyFacts:
    """The kernel's limits."""
    folder = proc / "sys" / "net" / "ipv4"
    try:
        room, time = (
            int((folder / name).read_text(encoding="utf-8"))
            for name in ("ipfrag_high_thresh", "ipfrag_time")
        )
    except FileNotFoundError:
        return ReassemblyFacts(-1)
    return ReassemblyFacts(room, float(time))


def reassembly(facts: ReassemblyFacts, environment: Mapping[str, str]) -> Result:
    """Whether pictures from other hosts come through a link that loses one packet in a hundred, in
    messages of the size that a run would have with these variables.
    """
    check = "reassembly"
    if environment.get(_RANGE, "") == "LOCALHOST" and not environment.get(_PEERS):
        return skipped(check, f"{_RANGE} is LOCALHOST: nothing goes over a network")
    given = environment.get(MESSAGE_BYTES, "")
    try:
        size = dds_profile.message_bytes(given) if given else dds_profile.NETWORK_MESSAGE
    except ValueError as error:
        return problem(check, f"{MESSAGE_BYTES} is {given!r}, {error}", f"unset {MESSAGE_BYTES}")
    pieces = math.ceil(size / _PIECE)
    if pieces == 1:
        return ok(check, f"messages of {size} bytes, which IP does not cut")
    if facts.room < 0:
        return skipped(check, "the kernel does not show net.ipv4.ipfrag_high_thresh here")
    incomplete = 1 - (1 - _LOSS) ** pieces
    rate = facts.room / (max(1.0, facts.time) * incomplete * _OVERHEAD)
    told = (
        f"messages of {size} bytes, cut into {pieces}: while one packet in a hundred is lost, "
        f"there is room for {rate / 1e6:.1f} MB/s"
    )
    if rate >= LEAST_RATE:
        return ok(check, told)
    return warning(
        check,
        f"{told}; with more, nothing large comes any more",
        "message_bytes:=1400; or sudo sysctl -w net.ipv4.ipfrag_time=3 "
        "net.ipv4.ipfrag_high_thresh=67108864",
    )

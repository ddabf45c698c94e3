"""The ports that the nodes will bind: whether they are free, and which process has them if not."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vla_inference_ros.core.address import new_socket, to_listen_on, with_port
from vla_inference_ros.doctor.result import Result, ok, problem, warning
from vla_inference_ros.doctor.settings import Settings
from vla_inference_ros.graph import PACKAGE
from vla_inference_ros.launch_arguments import FAULT_NODE

_LISTENING = "0A"  # a TCP socket's state in /proc/net
_COMMAND_SHOWN = 100  # letters of a process's command line


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port that ``node`` binds because of its ``parameter``; ``protocol`` is TCP or UDP."""

    node: str
    parameter: str
    protocol: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a port. ``pid`` is 0 where this user may not see the process; ``node`` is the node of
    this package that it is, ''.
    """

    pid: int
    command: str
    user: int
    node: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return f"a process of user {self.user} that only root can see"
        return f"{self.node or self.command} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class PortFacts:
    """``error`` is the number that binding gave, 0 if the port is free; ``reason`` says it."""

    wanted: WantedPort
    error: int
    reason: str
    holders: tuple[Holder, ...] = ()

    @property
    def free(self) -> bool:
        """Whether the node can bind it."""
        return not self.reason

    @property
    def held_by_own_node(self) -> bool:
        """Whether the node that wants it, of a run that goes on, has it already."""
        return any(holder.node == self.wanted.node for holder in self.holders)


def wanted_ports(settings: Settings) -> list[WantedPort]:
    """The ports that a launch would bind, in the order of the streams: camera, sensor, others."""

    def wanted(node: str, protocol: str, parameter: str = "port") -> WantedPort:
        address = str(settings.parameters[node].get("bind_address", "*"))
        port = int(settings.of(node, parameter))
        return WantedPort(node, parameter, protocol, address, port)

    ports = [wanted("camera_bridge", "TCP"), wanted("sensor_bridge", "UDP")]
    if settings.sim:
        ports.append(wanted("sim_robot", "TCP"))
    if settings.faults:
        ports.append(wanted(FAULT_NODE, "TCP", "camera_listen_port"))
        ports.append(wanted(FAULT_NODE, "UDP", "sensor_listen_port"))
        ports.append(wanted(FAULT_NODE, "TCP", "robot_port"))
    return ports


def gather_ports(wanted: Sequence[WantedPort]) -> list[PortFacts]:
    """Of each port; one that an earlier node of the same launch takes is not free."""
    taken: dict[tuple[str, int], str] = {}
    facts = []
    for each in wanted:
        owner = taken.setdefault((each.protocol, each.port), each.node)
        is_first = owner == each.node
        reason = f"{owner} takes it before"
        facts.append(gather_port(each) if is_first else PortFacts(each, errno.EINVAL, reason))
    return facts


def gather_port(wanted: WantedPort, proc: Path = Path("/proc")) -> PortFacts:
    """Tries to bind a port as its node would; if it is taken, looks by whom."""
    kind = socket.SOCK_STREAM if wanted.protocol == "TCP" else socket.SOCK_DGRAM
    if not 1 <= wanted.port <= 65535:
        return PortFacts(wanted, errno.EINVAL, "it is not 1 to 65535")
    try:
        family, address = to_listen_on(wanted.address, wanted.port)
        with new_socket(family, kind) as probe:
            if wanted.protocol == "TCP":  # as libzmq does, so that old connections do not matter
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:  # also of an address that is none
        number = error.errno or errno.EINVAL
        taken = number == errno.EADDRINUSE
        holders = find_holders(wanted.protocol, wanted.port, proc) if taken else ()
        return PortFacts(wanted, number, error.strerror or str(error), holders)
    return PortFacts(wanted, 0, "")


def port_is_free(facts: PortFacts) -> Result:
    """Whether a node will get its port."""
    wanted = facts.wanted
    check = f"port {wanted.protocol} {wanted.port}"
    told = f"of {wanted.node}, parameter {wanted.parameter}"
    if facts.free:
        return ok(check, f"free ({told})")
    if facts.error != errno.EADDRINUSE:
        return problem(
            check,
            f"{told}: {with_port(wanted.address, wanted.port)} cannot be bound: {facts.reason}",
            "give an address of this host in bind_address, and a port of its own, 1024 to 65535",
        )
    holders = ", ".join(map(str, facts.holders)) or "a process that cannot be seen from here"
    pids = " ".join(str(holder.pid) for holder in facts.holders if holder.pid)
    if facts.held_by_own_node:
        return warning(
            check,
            f"held by {holders}: a run is going on",
            "nothing, if this is the run to look at; before another one, stop it with Ctrl+C",
        )
    stop = f"stop it (kill {pids})" if pids else "'sudo ss -lptun' shows it: stop it"
    return problem(check, f"held by {holders} ({told})", f"{stop}, or choose another port")


def find_holders(protocol: str, port: int, proc: Path = Path("/proc")) -> tuple[Holder, ...]:
    """The processes that have a port of this host, as far as this user may see them."""
    sockets = dict(_sockets(protocol.lower(), port, proc))
    holders = []
    for pid, inode in _open_sockets(set(sockets), proc):
        holders.append(_describe(pid, sockets[inode], proc))
        sockets = {known: user for known, user in sockets.items() if known != inode}
    return (*holders, *(Holder(0, "", user) for user in sockets.values()))


def _sockets(protocol: str, port: int, proc: Path) -> Iterator[tuple[str, int]]:
    """(inode, user) of each socket that is bound to a port."""
    for name in (protocol, f"{protocol}6"):
        try:
            lines = (proc / "net" / name).read_text(encoding="utf-8").splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        for line in lines:
            fields = line.split()
            local, state, user, inode = fields[1], fields[3], fields[7], fields[9]
            is_bound = protocol == "udp" or state == _LISTENING
            if is_bound and int(local.rpartition(":")[2], 16) == port:
                yield inode, int(user)


def _open_sockets(inodes: set[str], proc: Path) -> Iterator[tuple[int, str]]:
    """(process, inode) of the first process that has each socket open."""
    left = set(inodes)
    for folder in proc.iterdir():
        if not left or not folder.name.isdecimal():
            continue
        # It may have ended since, or be another user's.
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            for link in (folder / "fd").iterdir():
                with suppress(FileNotFoundError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
                    if match and match[1] in left:
                        left.remove(match[1])
                        yield int(folder.name), match[1]


def _describe(pid: int, user: int, proc: Path) -> Holder:
    command = ""
    with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
        command = (proc / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    words = command.rstrip("\0").split("\0")
    # Its folder would leave no room for what tells two programs of one interpreter apart; but what
    # a program calls itself, as "sshd: somebody@pts/0", is no path.
    program = Path(words[0]).name if words[0].startswith("/") else words[0]
    line = " ".join(" ".join([program, *words[1:]]).split())  # a word may hold line breaks
    paths = [Path(word) for word in words[:2]]  # the executable, perhaps after its interpreter
    node = next((p.name for p in paths if p.parent.name == PACKAGE), "")
    return Holder(pid, line[:_COMMAND_SHOWN] or "unknown", user, node)

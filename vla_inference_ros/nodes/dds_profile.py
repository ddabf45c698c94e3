"""What a process changes in the package's Fast DDS profile: its share of memory, the size of
messages, where others are looked for, and where it listens itself.

The file is whole without it, for tools that want the same. No ROS here.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

# Of shared memory, all of which Fast DDS takes as soon as a process starts [bytes].
LARGE_SEGMENT = 32 << 20  # over a second of five cameras at 30 pictures/s of 150 kB
SMALL_SEGMENT = 4 << 20  # over a second of the sensor's samples, the most of all else
_LEAST_SEGMENT = 512 << 10  # as Fast DDS has it: less than one round of five pictures
LEAST_SHARED_MEMORY = 256 << 20  # all nodes take 110 MB; the rest is for tools, or a second run
MORE_SHARED_MEMORY = (
    "give a container more (docker: --shm-size=1g), or else: sudo mount -o remount,size=1g /dev/shm"
)

# Of messages, which the profile's transports share [bytes].
LEAST_MESSAGE, LARGEST_MESSAGE = 1000, 65500  # the larger is what UDP takes
NETWORK_MESSAGE = 4000  # as the file has it
# Where nothing goes over a network. Larger ones cost hardly less, and sooner find no hole in a
# segment where what was meant for killed readers lies about: they are then lost for good.
LOCAL_MESSAGE = 16000

# Where a process listens for data, in shared memory and with UDP. By DDS's rules the number follows
# from how many nodes there are, so a restarted node gets that of the one that died. In shared
# memory this is no clean start: who still sends to the dead one's queue, and who removes it, may do
# so to the new one's, and then nothing comes from some of the others, for seconds or for ever.
# Nobody has to know the number, as each node tells the others. Above Linux's ports for outgoing
# connections; twice the number of the node in its domain, at most 119, is added. What tells of
# nodes' names alone still comes by the lowest free port of 7000 to 7399, which cannot be chosen.
DATA_PORTS = range(61000, 65200, 2)
_FIRST_PORT, _PORTS_OF_DOMAIN = 7400, 250  # as DDS counts them

_RANGE, _LOCALHOST_ONLY = "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"
_PEERS = "ROS_STATIC_PEERS"
_BEYOND = ("", "SUBNET", "SYSTEM_DEFAULT", "OFF")  # ROS takes any other word for LOCALHOST
_NAMESPACE = "http://www.eprosima.com"


@dataclass(frozen=True, slots=True)
class Changes:
    """What is changed in the file: ``segment`` and ``message`` [bytes], the latter None for the
    file's; ``peers``, the hosts that are asked for participants, None for all by multicast;
    ``data_offset``, of the port for data, None for DDS's own.
    """

    segment: int
    message: int | None = None
    peers: tuple[str, ...] | None = None
    data_offset: int | None = None


def discovery(environment: Mapping[str, str], version: int) -> tuple[str, ...] | None:
    """The hosts that these variables confine ROS to, this one among them; None for the subnet.
    ``version`` is Fast DDS's: the ROS with 3 passes over ROS_LOCALHOST_ONLY.
    """
    peers = tuple(each for each in environment.get(_PEERS, "").split(";") if each)
    if version == 2 and environment.get(_LOCALHOST_ONLY) == "1":
        return ("127.0.0.1",)
    if environment.get(_RANGE, "") in _BEYOND:
        return None
    return (*peers, "127.0.0.1")


def unconfined(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that have ROS leave discovery and transports to the profile.

    Confined to this host, it would add transports of its own to the profile's, so that all is sent
    twice and with Fast DDS's defaults.
    """
    changed = {_RANGE: "SYSTEM_DEFAULT"}
    if _LOCALHOST_ONLY in environment:
        changed[_LOCALHOST_ONLY] = "0"
    return changed


def data_offset(environment: Mapping[str, str]) -> int | None:
    """By how much a port of DATA_PORTS, taken at random, is above the domain's first; None in a
    domain whose own ports are as high. One that is taken makes Fast DDS try the next.
    """
    domain = environment.get("ROS_DOMAIN_ID") or "0"
    if not domain.isdecimal():  # ROS complains of it
        return None
    first = _FIRST_PORT + _PORTS_OF_DOMAIN * int(domain)
    if first + _PORTS_OF_DOMAIN > DATA_PORTS[0]:
        return None
    return random.SystemRandom().choice(DATA_PORTS) - first


def segment(wanted: int, folder: Path = Path("/dev/shm")) -> tuple[int, str]:
    """How much shared memory [bytes] a process may take that should have ``wanted``, and what is
    to be said of it, or ''.
    """
    try:
        found = os.statvfs(folder)
    except FileNotFoundError:
        return _LEAST_SEGMENT, (
            f"{folder} does not exist, so all goes over the network stack, and pictures are lost "
            "while the machine is busy: mount a tmpfs there"
        )
    total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    if total >= LEAST_SHARED_MEMORY and free >= 2 * wanted:
        return wanted, ""
    if wanted < LARGE_SEGMENT:
        return min(wanted, _LEAST_SEGMENT), ""  # enough for its own messages
    return _LEAST_SEGMENT, (
        f"{folder} has {total / 1e6:.0f} MB, {free / 1e6:.0f} of them free, where "
        f"{LEAST_SHARED_MEMORY / 1e6:.0f} are needed: what this node sends gets "
        f"{_LEAST_SEGMENT / 1e6:.1f} MB of it, and pictures are lost while the machine is busy: "
        f"{MORE_SHARED_MEMORY}"
    )


def message_bytes(text: str) -> int:
    """The size of messages on the wire that ``text`` says; ValueError if it is none."""
    try:
        size = int(text)
    except ValueError:
        raise ValueError("not a whole number") from None
    if not LEAST_MESSAGE <= size <= LARGEST_MESSAGE:
        raise ValueError(f"not from {LEAST_MESSAGE} to {LARGEST_MESSAGE} bytes")
    return size


def changed(profile: str, changes: Changes) -> str:
    """The text of a profile with these changes. Raises OSError for a peer that has no address."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.fromstring(profile)
    _element(root, ".//{*}segment_size").text = str(changes.segment)
    if changes.message is not None:
        for size in root.iterfind(".//{*}maxMessageSize"):
            size.text = str(changes.message)
    if changes.data_offset is not None:
        port = ElementTree.Element(f"{{{_NAMESPACE}}}port")
        _add(port, "offsetd3").text = str(changes.data_offset)
        _element(root, ".//{*}rtps").insert(0, port)
    if changes.peers is not None:
        _confine(_element(root, ".//{*}builtin"), changes.peers)
    return ElementTree.tostring(root, encoding="unicode")


def without_transports(profile: str) -> str:
    """The text of a profile that leaves transports to Fast DDS and its variables."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.fromstring(profile)
    rtps = _element(root, ".//{*}rtps")
    for name in ("userTransports", "useBuiltinTransports"):
        rtps.remove(_element(rtps, f"{{*}}{name}"))
    profiles = _element(root, ".//{*}profiles")
    profiles.remove(_element(profiles, "{*}transport_descriptors"))
    return ElementTree.tostring(root, encoding="unicode")


def _confine(builtin: ElementTree.Element, peers: tuple[str, ...]) -> None:
    """As ROS does it: hear nobody by multicast, and ask at these hosts."""
    own = _add(builtin, "metatrafficUnicastLocatorList")
    _add(_add(own, "locator"), "udpv4")
    asked = _add(builtin, "initialPeersList")
    for peer in peers:
        _add(_add(_add(asked, "locator"), "udpv4"), "address").text = socket.gethostbyname(peer)


def _add(parent: ElementTree.Element, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{_NAMESPACE}}}{name}")


def _element(root: ElementTree.Element, path: str) -> ElementTree.Element:
    found = root.find(path)
    assert found is not None, path
    return found

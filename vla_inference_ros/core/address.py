"""Addresses of hosts, IPv4 and IPv6: reads and writes them, and finds what a socket takes.

A name is looked up for both, and IPv4 goes first, as the rig's senders listen on that. A socket for
all addresses takes both where this host has IPv6, and an IPv4 address that the system then writes
as ``::ffff:192.168.1.20`` is ``192.168.1.20`` again here.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from typing import Any

FORM = "HOST:PORT, with a port from 1 to 65535 and an IPv6 address in brackets"
EVERYWHERE = ("*", "::", "")  # to listen on: all addresses, IPv4 and IPv6
LISTEN_ON = "address to listen on; * for all, 0.0.0.0 for all of IPv4"  # for parameters
_MAPPED = "::ffff:"
_IPV4_EVERYWHERE, _IPV6_EVERYWHERE = "0.0.0.0", "::"


def plain(host: str) -> str:
    """A host without the brackets that an IPv6 address has beside a port."""
    return host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host


def with_port(host: str, port: int) -> str:
    """A host and its port in one text, as ``[::1]:5556``."""
    host = plain(host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, an IPv6 address in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    bare = plain(host)
    is_host = bare and not any(each.isspace() or each == "/" for each in bare)
    is_port = port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535
    if not (is_host and is_port and (":" in bare) == (bare != host)):
        raise ValueError(f"{text!r} is not of the form {FORM}")
    return bare, int(port)


def unmapped(address: str) -> str:
    """An IPv4 address that an IPv6 socket has written in its own way, as IPv4 writes it."""
    if address.lower().startswith(_MAPPED):
        with suppress(ValueError):
            mapped = ipaddress.IPv6Address(address).ipv4_mapped
            return str(mapped or address)
    return address


def named(host_and_port: tuple[Any, ...]) -> tuple[str, int]:
    """(address, port) of what a socket calls its other end, with the interface of a link-local
    address, as ``fe80::1%eth0``.
    """
    address, port = str(host_and_port[0]), int(host_and_port[1])
    scope = host_and_port[3] if len(host_and_port) == 4 else 0
    if scope and "%" not in address:
        name = str(scope)
        with suppress(OSError):  # the interface has just gone
            name = socket.if_indextoname(scope)
        address = f"{address}%{name}"
    return unmapped(address), port


def has_ipv6() -> bool:
    """Whether this host lets a socket listen on all addresses of both kinds."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            trial.bind((_IPV6_EVERYWHERE, 0))
    except OSError:
        return False
    return True


def resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """(family, address) that a socket takes, of a host's address or name; raises OSError."""
    bare = plain(host)
    if bare in ("", "*") or any(map(str.isspace, bare)):
        raise OSError(f"{host!r} is no address or name of a host")
    if not 0 <= port <= 65535:  # the system would take it modulo 65536
        raise OSError(f"{port} is no port: 1 to 65535")
    try:
        found = socket.getaddrinfo(bare, port, type=socket.SOCK_DGRAM)
    except UnicodeError as error:  # of what is no host's name
        raise OSError(f"{host!r} is no host's name: {error}") from error
    usable = [each for each in found if each[0] in (socket.AF_INET, socket.AF_INET6)]
    if not usable:
        raise OSError(f"{host!r} has no IPv4 or IPv6 address")
    found_first = min(usable, key=lambda each: each[0] != socket.AF_INET)
    family: socket.AddressFamily = found_first[0]
    address: tuple[Any, ...] = found_first[4]
    is_of_link = ipaddress.ip_address(address[0]).is_link_local and family == socket.AF_INET6
    if is_of_link and not address[3]:
        raise OSError(f"{host!r} is of one network alone: name its interface, as {bare}%eth0")
    return family, address


def to_listen_on(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """(family, address) to bind a socket of `new_socket` to; one of ``EVERYWHERE`` is for all, IPv4
    and IPv6 where this host has both. Raises OSError.
    """
    bare = plain(host)
    if bare == _IPV6_EVERYWHERE or (bare in EVERYWHERE and has_ipv6()):
        return socket.AF_INET6, (_IPV6_EVERYWHERE, port)
    return resolve(_IPV4_EVERYWHERE if bare in EVERYWHERE else bare, port)


def new_socket(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    """An unbound socket, which takes IPv4 as well where it is one of IPv6."""
    made = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except BaseException:
        made.close()
        raise
    return made

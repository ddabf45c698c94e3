"""Binds and connects ZMQ sockets to hosts of IPv4 and IPv6, which libzmq has to be told of before.

With IPv6 switched on it looks a name up for IPv6 first, and tries nothing else; so that is done
only for what needs it.
"""

from __future__ import annotations

import errno
import socket

import zmq

from vla_inference_ros.core.address import (
    EVERYWHERE,
    FORM,
    has_ipv6,
    plain,
    resolve,
    split,
    with_port,
)

_SCHEME = "tcp://"


def endpoint(host: str, port: int) -> str:
    """A TCP endpoint as libzmq reads it."""
    return _SCHEME + with_port(host, port)


def host_and_port(text: str) -> tuple[str, int]:
    """Of a TCP endpoint as people write it. Raises ValueError."""
    try:
        return split(text.removeprefix(_SCHEME) if text.startswith(_SCHEME) else "")
    except ValueError:
        raise ValueError(f"{text!r} is not of the form {_SCHEME}{FORM}") from None


def bind(made: zmq.Socket[bytes], host: str, port: int) -> None:
    """Bind to a TCP port, 0 for any; ``*`` and ``::`` are all addresses, of IPv4 and IPv6 where
    this host has both. Raises zmq.ZMQError.
    """
    bare = plain(host)
    made.set(zmq.IPV6, int(":" in bare or (bare in EVERYWHERE and has_ipv6())))
    made.bind(endpoint(bare or "*", port))


def connect(made: zmq.Socket[bytes], host: str, port: int) -> str:
    """Connect to a TCP port, now or whenever it appears; why a name has no address now, '' if it
    has one. Raises zmq.ZMQError.
    """
    bare, why = plain(host), ""
    try:
        needs_ipv6 = resolve(bare, port)[0] == socket.AF_INET6
    except OSError as error:
        if not _is_name(bare):  # libzmq would try for ever, without a word
            raise zmq.ZMQError(errno.EINVAL, str(error)) from error
        needs_ipv6, why = True, str(error)  # it may get any, and so IPv4 is found too
    made.set(zmq.IPV6, int(needs_ipv6))
    made.connect(endpoint(bare, port))
    return why


def _is_name(host: str) -> bool:
    return host not in EVERYWHERE and not any(each in ":%/" or each.isspace() for each in host)

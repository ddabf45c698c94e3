"""What this host has of IPv6, for tests that need it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

LOOPBACK = "::1"
_ADDRESSES = Path("/proc/net/if_inet6")
_LINK = "20"  # the scope of a link-local address there


def _has_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.bind((LOOPBACK, 0))
    except OSError:
        return False
    return True


def _link_local() -> str:
    """A link-local address of this host with its interface; '' if it has none."""
    lines = _ADDRESSES.read_text(encoding="utf-8").splitlines() if _ADDRESSES.exists() else []
    for line in lines:
        digits, _, _, scope, _, interface = line.split()
        if scope == _LINK:
            packed = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
            return f"{packed}%{interface}"
    return ""


needs_ipv6 = pytest.mark.skipif(not _has_loopback(), reason="this host has no IPv6")
LINK_LOCAL = _link_local()
needs_link_local = pytest.mark.skipif(
    not LINK_LOCAL, reason="this host has no interface with a link-local address of IPv6"
)
HOSTS = [
    pytest.param(LOOPBACK, marks=needs_ipv6),
    pytest.param(LINK_LOCAL, marks=needs_link_local, id="link-local"),
]

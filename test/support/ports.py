"""Ports of this host that nothing else takes before, or between, their uses in a test.

The kernel gives none of them to a connection, and no other test process takes one: they are those
of this process's ROS domain that the middleware would first give to its 58th participant.
"""

from __future__ import annotations

import os
import socket
from itertools import cycle, islice

# The ports of a domain (DDS-RTPS 2.2, 9.6.2.3); of its participants', the later half.
FIRST_PORT, PORTS = 7400, 250
_FIRST = FIRST_PORT + PORTS * int(os.environ["ROS_DOMAIN_ID"])
_candidates = cycle(range(_FIRST + PORTS // 2, _FIRST + PORTS))


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody has, and that was not given for a hundred calls or so."""
    for port in islice(_candidates, PORTS // 2):
        if _is_free(port, kind):
            return port
    raise RuntimeError("all ports for tests are taken")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

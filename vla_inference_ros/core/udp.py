"""A UDP socket that knows when the kernel received each datagram, and how many it had to drop."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

from vla_inference_ros.core.address import named, new_socket, to_listen_on

# Linux socket options that Python's socket module does not name.
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35
_SO_RXQ_OVFL = 40
_TIMESPEC = struct.Struct("@qq")
_DROP_COUNT = struct.Struct("@I")
_MAX_DATAGRAM = 65536  # over what IPv4 can carry, so that none is cut
_ANCILLARY_SIZE = socket.CMSG_SPACE(_TIMESPEC.size) + socket.CMSG_SPACE(_DROP_COUNT.size)


@dataclass(frozen=True, slots=True)
class Datagram:
    """``receive_time`` is the kernel's [Unix s]; ``dropped`` counts datagrams lost before it.

    ``source`` is the address, IPv4 or IPv6, and ``port`` the UDP port that it says it comes from.
    """

    data: bytes
    receive_time: float
    dropped: int
    source: str
    port: int


class UdpReceiver:
    """Owns a bound UDP socket; used by one thread.

    Linux fills in the kernel's receive time and drop counter; elsewhere the time is taken when the
    datagram is read, and drops are not seen.
    """

    def __init__(self, host: str, port: int, buffer_bytes: int, timeout: float) -> None:
        """Bind to a host as `address.to_listen_on` takes it, or raise OSError. ``receive`` gives up
        after ``timeout`` seconds.
        """
        family, address = to_listen_on(host, port)
        self._socket = new_socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.settimeout(timeout)
            self.buffer_bytes = self._enlarge_buffer(buffer_bytes)
            for option in (_SO_TIMESTAMPNS, _SO_RXQ_OVFL):
                try:
                    self._socket.setsockopt(socket.SOL_SOCKET, option, 1)
                except OSError:  # not Linux: see the class
                    break
            self._socket.bind(address)
        except BaseException:
            self._socket.close()
            raise
        self._dropped = 0

    @property
    def port(self) -> int:
        """The port that it is bound to."""
        return int(self._socket.getsockname()[1])

    def _enlarge_buffer(self, size: int) -> int:
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, option, size)
                break
            except OSError:  # only a privileged process may go over the system's limit
                continue
        # Linux reports double the size that it was given, for its own bookkeeping.
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    def receive(self) -> Datagram | None:
        """The next datagram; None if none came in time."""
        try:
            data, ancillary, _, sender = self._socket.recvmsg(_MAX_DATAGRAM, _ANCILLARY_SIZE)
        except TimeoutError:
            return None
        receive_time, dropped = time.time(), 0
        for level, kind, value in ancillary:
            if level != socket.SOL_SOCKET:
                continue
            if kind == _SO_TIMESTAMPNS and len(value) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                receive_time = seconds + nanoseconds * 1e-9
            elif kind == _SO_RXQ_OVFL and len(value) == _DROP_COUNT.size:
                total = _DROP_COUNT.unpack(value)[0]
                dropped, self._dropped = (total - self._dropped) % 2**32, total
        return Datagram(data, receive_time, dropped, *named(sender))

    def close(self) -> None:
        """Release the port."""
        self._socket.close()

"""The ZMQ bridges' receiving socket: its limits, its encryption, what becomes of connections."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import recv_monitor_message

from vla_inference_ros.core import zmq_address
from vla_inference_ros.core.address import unmapped, with_port
from vla_inference_ros.core.curve import ClientKeys, ServerKeys, secure_client, serving
from vla_inference_ros.core.priority import starting_threads, thread_names, threads
from vla_inference_ros.core.source import Listening
from vla_inference_ros.core.troubles import WRONG_SOCKET
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import StartError
from vla_inference_ros.nodes.zmq_handshakes import Handshakes, fitting, mismatch

MOST_PARTS = 8  # of a message; what comes after them is thrown away
_TIMEOUT_MS = 100  # how often a socket thread looks whether it should stop
_LOOK_PERIOD = 0.1  # how often it looks what has become of connections [s]
_THREADS = {"ZMQbg/Reaper", "ZMQbg/IO/0"}  # libzmq's own, by the names they give themselves
_THREADS_LIMIT = 1.0  # until they are there, if this libzmq calls them so [s]
_RECONNECT_AFTER = 1.0  # that libzmq has not done so by itself [s]
_REFUSALS = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_COMEBACK = 2.5  # within which one that is still there connects again, or is connected to [s]
_ATTEMPTS = zmq.EVENT_CONNECTED | zmq.EVENT_CONNECT_DELAYED | zmq.EVENT_CONNECT_RETRIED
_BEGINNINGS = zmq.EVENT_CONNECTED | zmq.EVENT_ACCEPTED
_EVENTS = (
    _REFUSALS | _ATTEMPTS | _BEGINNINGS | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
)
_MISMATCH_LASTS = 10.0  # a socket that does not fit is a trouble; its side may not try again [s]


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection; ``port`` is 0 where it is not known any more."""

    address: str
    port: int
    connection: int

    def __str__(self) -> str:
        return with_port(self.address, self.port) if self.port else self.address


class ZmqReceiver:
    """A socket that is bound or connected once, and then used by one thread until ``close``.

    A message with a part over ``max_bytes`` is counted in ``stream`` and dropped. Over twice that
    it is not even taken in: libzmq ends the connection, and ours to make is made again. ``peer`` is
    who has sent the message that was taken last.
    """

    def __init__(self, kind: int, stream: Stream, max_bytes: int, remedy: str) -> None:
        """``remedy`` is what a warning of too large a message tells a person to do."""
        self.peer = Peer("", 0, -1)
        self.listening = Listening(time.monotonic())
        self._peers: dict[tuple[str, int], Peer] = {}
        self._kind = kind
        self._handshakes = Handshakes()
        self._mismatch_until = 0.0  # [steady s]
        self._stream, self._max_bytes, self._remedy = stream, max_bytes, remedy
        self._endpoint = ""  # that we connect to
        self._encrypted = False
        self._refused = False  # whether the last event was a refusal
        self._lost: float | None = None  # since when nobody connects us again [steady s]
        self._begun = self._disconnected = 0.0  # when a connection last did, or was [steady s]
        self._ended: float | None = None  # when one did that has not come back [steady s]
        self._next_look = 0.0
        self._resources = ExitStack()
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._resources.callback(context.destroy, linger=0)
        with starting_threads:
            others = set(threads())
            self._socket = context.socket(kind)  # a context's first starts its threads
            _await_threads(others)
        self._socket.set(zmq.MAXMSGSIZE, 2 * max_bytes)
        self._socket.set(zmq.RCVTIMEO, _TIMEOUT_MS)
        self._monitor = self._socket.get_monitor_socket(_EVENTS)

    def subscribe(self, topic: bytes) -> None:
        """Take messages whose first part begins with ``topic``."""
        self._socket.set(zmq.SUBSCRIBE, topic)

    def bind(self, address: str, port: int, keys: ServerKeys | None = None) -> None:
        """Bind to a TCP port of an address, as `zmq_address.bind` takes it; StartError says which
        parameter is at fault.
        """
        self._encrypted = keys is not None
        if keys is not None:
            self._resources.enter_context(serving(self._socket, keys))
        try:
            zmq_address.bind(self._socket, address, port)
        except zmq.ZMQError as error:
            self.close()
            raise StartError(
                f"parameters 'bind_address' and 'port': cannot listen on "
                f"{zmq_address.endpoint(address, port)}: {error}. "
                f"Does another program, or an earlier run, hold port {port}?"
            ) from error

    def connect(self, host: str, port: int, keys: ClientKeys | None = None) -> None:
        """Connect to a TCP port, now or whenever it appears; StartError if that is no address."""
        self._endpoint = zmq_address.endpoint(host, port)
        self._encrypted = keys is not None
        if keys is not None:
            secure_client(self._socket, keys)
        try:
            unknown = zmq_address.connect(self._socket, host, port)
        except zmq.ZMQError as error:
            self.close()
            raise StartError(
                f"parameters 'host' and 'port': cannot connect to {self._endpoint}: {error}"
            ) from error
        if unknown:
            self._stream.warn(
                "unknown host",
                f"the host {host!r} has no address now ({unknown}): it is looked up again and "
                "again. Is the name right?",
            )

    def messages(self, stopping: threading.Event) -> Iterator[list[bytes]]:
        """The parts of each message that comes, until ``stopping`` is set."""
        while not stopping.is_set():
            self.listening.look(time.monotonic())
            parts = self._receive()
            if parts is not None:
                yield parts
            now = time.monotonic()
            if now >= self._next_look:
                self._next_look = now + _LOOK_PERIOD
                self._follow_connections(now)

    def close(self) -> None:
        """Close the socket and all connections."""
        self._resources.close()

    def _receive(self) -> list[bytes] | None:
        """The next message; None if none came in time, or one that is too large."""
        try:
            first = self._socket.recv(copy=False)
        except zmq.Again:
            return None
        self.peer = self._peer_of(first)
        parts = [first.bytes]
        largest = len(parts[0])
        while self._socket.get(zmq.RCVMORE):
            part = self._socket.recv()
            largest = max(largest, len(part))
            if len(parts) < MOST_PARTS and largest <= self._max_bytes:
                parts.append(part)
        if largest <= self._max_bytes:
            return parts
        self._stream.problem(
            "message too large",
            f"a message has a part of {largest} bytes, over the limit of {self._max_bytes}: "
            f"{self._remedy}",
        )
        return None

    def _peer_of(self, message: zmq.Frame) -> Peer:
        try:
            address = unmapped(str(message.get("Peer-Address")))
            connection = int(message.get(zmq.SRCFD))
        except zmq.ZMQError:  # a transport that has no such thing
            return Peer("", 0, -1)
        found = self._peers.get((address, connection))
        if found is None:
            found = Peer(address, _port_of(connection), connection)
            self._peers[address, connection] = found
            self._handshakes.hear(connection)
        return found

    def _follow_connections(self, now: float) -> None:
        while self._monitor.poll(0):
            found = recv_monitor_message(self._monitor)
            self._note(zmq.Event(found["event"]), int(found["value"]), now)
        for is_unfit in self._handshakes.judge(now):
            if is_unfit:
                self._tell_of_mismatch(now)
            else:
                self._note_end(now)
        self._stream.troubles.keep(WRONG_SOCKET, now < self._mismatch_until)
        if self._ended is not None and now >= self._ended + _COMEBACK:
            self._ended = None
            self._stream.inform("other side gone", "a connection has ended, by the other side")
        if self._lost is not None and now >= self._lost + _RECONNECT_AFTER:
            # libzmq gives a connection up for good over which came what it will not take.
            with suppress(zmq.ZMQError):  # it may have dropped the endpoint itself
                self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)  # looked up by libzmq's own thread
            self._lost = None

    def _note(self, event: zmq.Event, value: int, now: float) -> None:
        """``value`` is the connection, where the event is of one."""
        if event in _BEGINNINGS:
            self._handshakes.begin(value, now)
            self._begun = now
            if self._ended is not None:
                self._tell_of_end()
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self._handshakes.agree()
            self._mismatch_until = 0.0
        elif event in _REFUSALS:
            self._stream.problem(
                "refused connection",
                "a connection failed before any message: "
                + (
                    "do both sides use CURVE, with the right keys?"
                    if self._encrypted
                    else "does the other side use CURVE, something else than ZMQ, or a socket "
                    f"that is not {fitting(self._kind)}?"
                ),
            )
        elif event in _ATTEMPTS:
            self._lost = None
        elif event == zmq.EVENT_DISCONNECTED:
            self._disconnected = now
            self._handshakes.end(value, now, failed=self._refused)
            self._peers.clear()  # the next connection may get the number of one that has ended
            if self._endpoint:
                self._lost = now
        self._refused = event in _REFUSALS

    def _tell_of_mismatch(self, now: float) -> None:
        self._mismatch_until = now + _MISMATCH_LASTS
        where = f" to {self._endpoint}" if self._endpoint else ""
        self._stream.problem(WRONG_SOCKET, mismatch(self._kind, where), told=True)

    def _note_end(self, now: float) -> None:
        """Who has just ended is gone; one that comes back may have been thrown out."""
        if self._begun >= self._disconnected:
            self._tell_of_end()
        elif self._ended is None:
            self._ended = now

    def _tell_of_end(self) -> None:
        self._ended = None
        self._stream.warn(
            "ended connection",
            "a connection has ended: by the other side, or over a message of more than "
            f"{2 * self._max_bytes} bytes",
        )


def _port_of(connection: int) -> int:
    """The port at the other end of a connection's socket; 0 if that has been closed meanwhile."""
    try:
        with socket.fromfd(connection, socket.AF_INET, socket.SOCK_STREAM) as copy:
            return int(copy.getpeername()[1])
    except OSError:
        return 0


def _await_threads(others: set[int]) -> None:
    """Return once libzmq's threads, which are not among the ``others``, have set themselves up.
    Their priority must not change before: a thread of libzmq's that finds another than it has just
    read ends the process.
    """
    deadline = time.monotonic() + _THREADS_LIMIT
    while not thread_names(set(threads()) - others) >= _THREADS and time.monotonic() < deadline:
        time.sleep(0.001)

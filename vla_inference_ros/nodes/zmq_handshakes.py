"""Which connections of a ZMQ socket end before both sides have agreed on how to talk, and why.

libzmq tells of what fails by CURVE or by something else than ZMQ. Of a peer whose socket is of a
type that does not fit it says nothing: the connection just ends; where that side is the first to
end it, libzmq says only that it failed. An agreement does not say of which connection it is, so
they are counted, and told apart by who sends, and by time.
"""

from __future__ import annotations

from dataclasses import dataclass

import zmq

# The type of socket that one of ours takes from.
_FITTING = {zmq.PULL: "PUSH", zmq.SUB: "PUB"}
_AT_ONCE = 1.0  # after its beginning, a connection of two types that do not fit has ended [s]
_SETTLING = 1.0  # until others that began with it have agreed, or never will [s]


@dataclass(frozen=True, slots=True)
class _Ended:
    lasted: float  # [s]
    at: float  # [s]


class Handshakes:
    """For the socket's thread. Connections are known by the number of their file."""

    def __init__(self) -> None:
        self._open: dict[int, float] = {}  # that may not have agreed, and when they began [s]
        self._undecided: list[_Ended] = []  # of which that is not known either
        self._decided: list[bool] = []
        self._agreed = 0  # of both
        self._owed = 0  # agreements that are yet to be told of connections that are known to have

    def begin(self, connection: int, now: float) -> None:
        """A connection has been made."""
        self._open[connection] = now

    def agree(self) -> None:
        """One of the connections can be used now."""
        if self._owed:
            self._owed -= 1
            return
        self._agreed += 1
        self._settle()

    def hear(self, connection: int) -> None:
        """A message has come by a connection, perhaps before it is told that it has agreed."""
        if self._open.pop(connection, None) is None:
            return
        if self._agreed:
            self._agreed -= 1
        else:
            self._owed += 1

    def end(self, connection: int, now: float, *, failed: bool) -> None:
        """A connection has ended, perhaps because it ``failed``, of which libzmq tells itself."""
        began = self._open.pop(connection, None)
        if failed:
            self._settle()
        elif began is None:
            self._decided.append(False)
        elif not self._agreed:  # it would have been told of before
            self._decided.append(True)
        else:
            self._undecided.append(_Ended(now - began, now))
            self._settle()

    def judge(self, now: float) -> list[bool]:
        """Of connections that have ended since the last call, and did not fail, whether that was
        because the two sockets do not fit.
        """
        while self._undecided and now - self._undecided[0].at > _SETTLING:
            # The others had the time to agree. What has been open for longer had been of use.
            unfit = self._undecided.pop(0).lasted <= _AT_ONCE
            self._decided.append(unfit)
            self._agreed -= not unfit
            self._settle()
        decided, self._decided = self._decided, []
        return decided

    def _settle(self) -> None:
        """If all have agreed, nothing is open any more."""
        if self._agreed >= len(self._open) + len(self._undecided):
            self._decided += [False] * len(self._undecided)
            self._open.clear()
            self._undecided.clear()
            self._agreed = 0


def fitting(kind: int) -> str:
    """The type of socket that one of ``kind`` takes from."""
    return _FITTING[zmq.SocketType(kind)]


def mismatch(kind: int, where: str) -> str:
    """What to tell people of a socket that does not fit one of ours, which is of ``kind``."""
    own, other = zmq.SocketType(kind).name, fitting(kind)
    return (
        f"a connection{where} was refused: the other side's ZMQ socket is not {other}, the type "
        f"that goes with {own} here, or it does not speak ZMQ. Make the sender's socket {other}"
    )

"""When a sender's clock may be believed: once the differences of its packets have stopped falling.

While a backlog drains, as one that waited at the sender until this host was there, each packet
comes sooner after the one before than its own times allow, and its difference (receipt - send time)
is smaller. What is learnt in there is wrong by the age of what waits. Only when packets keep their
own pace, and none has come much sooner than the first of them would have it, is the backlog over.
"""

from __future__ import annotations

import math

# A difference that is less than the least one by more than this begins it all anew [s].
_FALL = 0.01
# A packet is rushed if it comes after the one before within so much of the time between their
# sendings, which may not be longer than this, or else a time is damaged, ...
_RUSHED, _LONGEST_INTERVAL = 0.8, 2.0
# ... and times closer than this are one, as of packets that are sent together [s].
_TOGETHER = 0.001


class Settling:
    """Of one sender's clock: ``done`` once its differences have stopped falling, and so for ever.

    That takes ``packets`` packets, and ``seconds`` by their own times as well as by ours: a
    receiver that stands still while a backlog drains sees time pass, but the packets do not.
    ``seen`` counts the packets.
    """

    def __init__(self, packets: int, seconds: float) -> None:
        self.done = False
        self.seen = 0
        self._needed, self._seconds = packets, seconds
        self._least = math.inf
        self._packets = 0  # since a difference was less than all before, and the time since then
        self._time = 0.0
        self._newest_sent = self._steady = 0.0

    def add(self, sent: float, steady_time: float, difference: float) -> None:
        """A packet was ``sent`` by the sender's clock and received at ``steady_time`` [s]."""
        self.seen += 1
        if difference < self._least - _FALL:
            self._least, self._packets, self._time = difference, 0, 0.0
            self._newest_sent, self._steady = sent, steady_time
        self._packets += 1
        passed = min(sent - self._newest_sent, steady_time - self._steady)
        self._time += max(0.0, passed)
        self._newest_sent = max(self._newest_sent, sent)
        self._steady = steady_time
        self.done |= self._packets >= self._needed and self._time >= self._seconds

    def shift(self, seconds: float) -> None:
        """All differences have become so much larger."""
        self._least += seconds


class Rush:
    """How many packets in a row, up to now, have come faster than their own times allow, and how
    much of their lateness they have ``made_up`` by that [s].
    """

    def __init__(self) -> None:
        self.packets = 0
        self.made_up = 0.0
        self._sent: float | None = None
        self._steady = 0.0

    def add(self, sent: float, steady_time: float) -> None:
        """As for `Settling.add`, of every packet, whatever its times are."""
        before, since = self._sent, self._steady
        if before is not None and abs(sent - before) < _TOGETHER:
            return
        self._sent, self._steady = sent, steady_time
        if before is None:
            return
        interval, passed = sent - before, steady_time - since
        if 0 < interval <= _LONGEST_INTERVAL and passed < _RUSHED * interval:
            self.packets += 1
            self.made_up += interval - passed
        else:
            self.packets, self.made_up = 0, 0.0

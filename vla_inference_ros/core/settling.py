"""When a sender's clock may be believed: once the differences of its packets have stopped falling.

While a backlog drains, as one that waited at the sender until this host was there, each packet
comes sooner after the one before than its own times allow, and its difference (receipt - send time)
is smaller. What is learnt in there is wrong by the age of what waits. Only when packets keep their
own pace, and none has come much sooner than the first of them would have it, is the backlog over.
One that drains by less than a hundredth of the time is noticed some seconds later, by that its
differences keep falling (`Sinking`).
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
# A line that falls by more than this [s] in each of so many seconds in a row falls faster than any
# clock drifts; until it has not for so many.
_SINKS, _SINKING, _LEVEL = 0.001, 5, 2
_SINKING_NOTICE = (
    "packets come ever sooner after they were sent, faster than any clock drifts: a backlog that "
    "drains slowly, from which the offset was learnt? Nothing is used until that has ended"
)


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


class Sinking:
    """Whether differences keep falling faster than a clock can drift, though by so little a second
    that `Settling` has not noticed: a backlog that drains hardly faster than it grows.

    On a busy machine the least difference falls as well, but seldom, and less and less often.
    """

    def __init__(self) -> None:
        self.lasts = False
        self._second: int | None = None
        self._line = self._least = math.inf  # where the line began this second, the least since
        self._fallen = self._level = 0  # seconds in a row

    def add(self, steady_time: float, difference: float, line: float) -> str:
        """A ``difference`` at ``steady_time`` [s], where the least so far would have been by the
        drift that is known, the ``line`` [s]. What a person should know, "" if nothing.
        """
        second, notice = math.floor(steady_time), ""
        if second != self._second:
            lasted = self.lasts
            self._judge()
            notice = _SINKING_NOTICE if self.lasts and not lasted else ""
            self._second, self._line, self._least = second, line, difference
        self._least = min(self._least, difference)
        return notice

    def _judge(self) -> None:
        """Of a second that is over."""
        fell = self._line - self._least > _SINKS
        self._fallen = self._fallen + 1 if fell else 0
        self._level = 0 if fell else self._level + 1
        if self._fallen >= _SINKING:
            self.lasts = True
        elif self._level >= _LEVEL:
            self.lasts = False

    def shift(self, seconds: float) -> None:
        """All differences have become so much larger."""
        self._line += seconds
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

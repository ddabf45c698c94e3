"""When a sender's times make no sense: too many contradict its clock for damaged packets.

Single ones were damaged, or overtaken on the way, and some that agree are a step. Between these lie
a sender whose clock jumps about, and two senders behind one address. How old their data are nobody
can know, so nothing may be taken for fresh until the times make sense again: a packet that seems to
fit may do so by chance.
"""

from __future__ import annotations

from collections import deque

# A clock is erratic once so many of the last packets come from the future, or so many of the last
# do not fit, as those that others have overtaken; until so many in a row fit.
_FROM_FUTURE, _OF_FUTURE = 2, 5
_UNFIT, _OF_UNFIT = 5, 10
_FITTING = 8


class Contradictions:
    """Of one sender's clock, since it was begun to be learnt.

    ``from_future`` is whether the last packet came long before it can have been sent; ``erratic``
    whether nothing of the sender can be told in this host's clock.
    """

    def __init__(self) -> None:
        self.from_future = False
        self.erratic = False
        self._fitting = 0  # packets in a row
        self._unfit: deque[bool] = deque(maxlen=_OF_UNFIT)
        self._future: deque[bool] = deque(maxlen=_OF_FUTURE)

    def add(self, *, fits: bool, from_future: bool) -> None:
        """Whether a packet's times fit the clock, and else whether they are from the future."""
        self.from_future = from_future
        self._fitting = self._fitting + 1 if fits else 0
        self._unfit.append(not fits)
        self._future.append(from_future)
        if sum(self._future) >= _FROM_FUTURE or sum(self._unfit) >= _UNFIT:
            self.erratic = True
        elif self._fitting >= _FITTING:
            self.erratic = False

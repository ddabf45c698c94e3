"""The rhythm of a stream: notices packets late, missing, overtaken or repeated, and silence.

What is usual is learnt from the stream: the time between two packets is the median of the last 63.
So a sender that drops more than half of what it should send looks like a slower one, and where the
times between packets are too uneven for one to be missed, none is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vla_inference_ros.core.troubles import LATE, MISSING, OVERTAKEN, REPEATED

LATE_AFTER = 0.03  # a packet that needs so much longer than the quickest is late [s]
_REMEMBERED = 64  # packets
_LEARNT_FROM = 16  # packets after which, and so often, the rhythm is learnt
_GAP = 1.6  # periods between two packets of which one is missing between them
_UNEVEN = 0.15  # of a period; the middle deviation from it in an uneven rhythm
_PAUSE = 1.0  # a sender that says nothing for longer has paused; nothing is missing [s]
_COMES_AFTER_ALL = 0.25  # within which a missing packet may still turn up, overtaken [s]
_SILENT_PERIODS, _SILENT_AFTER = 4.0, 0.3  # both must be over [periods], [s]


@dataclass(slots=True)
class _Gap:
    since: float  # steady time at which it was seen
    missing: int


class Rhythm:
    """Of one stream; for the thread that receives, but ``silent`` may be asked by any.

    ``lost``, ``overtaken`` and ``repeated`` count packets since the start.
    """

    def __init__(self) -> None:
        self.lost = self.overtaken = self.repeated = 0
        self._times: deque[float] = deque(maxlen=_REMEMBERED)  # as they came, by the sender's clock
        self._newest: float | None = None
        self._intervals: deque[float] = deque(maxlen=_REMEMBERED - 1)
        self._unlearnt = 0  # intervals since the rhythm was learnt
        self._period: float | None = None  # [s]
        self._even = False
        self._gaps: deque[_Gap] = deque()
        self._came: float | None = None  # steady time of the last packet

    def observe(self, time: float, delay: float | None, steady: float) -> dict[str, int]:
        """How many packets are in which trouble, by the words of `troubles`, now that one has come.

        Its newest item was acquired at ``time`` by the sender's clock; it took ``delay`` longer
        than the quickest, or an unknown time; and it came at ``steady`` by a monotonic clock [s].
        """
        found: dict[str, int] = {}
        self._came = steady
        if time in self._times:
            self.repeated += 1
            found[REPEATED] = 1
            return found
        self._times.append(time)
        if delay is not None and delay > LATE_AFTER:
            found[LATE] = 1
        if self._newest is not None and self._newest - _PAUSE < time < self._newest:
            self.overtaken += 1
            found[OVERTAKEN] = 1
            self._fill_gap()
        else:
            self._follow(time, steady)
        if missing := self._given_up(steady):
            self.lost += missing
            found[MISSING] = missing
        return found

    @property
    def period(self) -> float:
        """The usual time between two packets [s]; 0 before it is known."""
        return self._period or 0.0

    def heard(self, steady: float) -> None:
        """A packet has come at ``steady`` [s] whose times tell nothing."""
        self._came = steady

    def forget(self) -> None:
        """The sender's clock was set: its times go on elsewhere."""
        self._times.clear()
        self._gaps.clear()
        self._newest = None

    def silent(self, steady: float) -> bool:
        """Whether the next packet is long overdue at ``steady`` [s]."""
        if self._came is None or self._period is None:
            return False
        return steady - self._came > max(_SILENT_AFTER, _SILENT_PERIODS * self._period)

    def _follow(self, time: float, steady: float) -> None:
        """A packet that is newer than all before it, or from after a clock was set back."""
        before, self._newest = self._newest, time
        if before is None or not 0 < time - before <= _PAUSE:
            return
        interval = time - before
        self._intervals.append(interval)
        self._unlearnt += 1
        if self._unlearnt >= _LEARNT_FROM:
            self._learn()
        if self._period is None or not self._even:
            return
        if interval > _GAP * self._period:
            self._gaps.append(_Gap(steady, round(interval / self._period) - 1))
        elif interval < (2.0 - _GAP) * self._period:  # the one before was late, none is missing
            self._fill_gap()

    def _learn(self) -> None:
        self._unlearnt = 0
        middle = len(self._intervals) // 2
        self._period = period = sorted(self._intervals)[middle]
        deviation = sorted(abs(interval - period) for interval in self._intervals)[middle]
        self._even = deviation <= _UNEVEN * period

    def _fill_gap(self) -> None:
        """A packet that was taken for missing has been overtaken only."""
        for gap in reversed(self._gaps):
            if gap.missing:
                gap.missing -= 1
                return

    def _given_up(self, steady: float) -> int:
        """How many packets have been missing for so long that they will not come."""
        missing = 0
        while self._gaps and steady - self._gaps[0].since > _COMES_AFTER_ALL:
            missing += self._gaps.popleft().missing
        return missing

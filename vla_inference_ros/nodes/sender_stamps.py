"""Brings a sender's times to this host's clock: learns, applies, reports and tells.

Tells, too, when its packets lose their rhythm.
"""

from __future__ import annotations

import time

from vla_inference_ros.core.clock import ClockReading, HostClock
from vla_inference_ros.core.rhythm import Rhythm
from vla_inference_ros.core.troubles import (
    BACKLOG,
    CLOCK_CONTRADICTED,
    CLOCK_LEARNING,
    CLOCK_STEP,
    LATE,
    MISSING,
    OVERTAKEN,
    REPEATED,
)
from vla_inference_ros.nodes.stream import Stream

CLOCK_MODE = (
    "how the sender's clock is taken: calibrate learns its offset, trust adds nothing, receive "
    "stamps with the time of receipt"
)
LONG_WAY = 0.01  # from the wire to a topic [s]
_AT_ONCE = 0.0005  # between two clock readings that are taken for one instant [s]


class StampError(ValueError):
    """A packet's times tell nothing of its age."""

    kind = CLOCK_CONTRADICTED


class SenderStamps:
    """The clock of one sending host; for the socket's thread alone."""

    def __init__(self, stream: Stream, mode: str, host: str) -> None:
        """``host`` is how messages to people call it."""
        self._clock = HostClock(mode)
        self._stream = stream
        self._host = host
        self._rhythm = stream.rhythm = stream.rhythm or Rhythm()
        self._reading = stream.clock = self._clock.read()

    @property
    def known(self) -> bool:
        """Whether the last packet's times can be told in this host's clock: that is neither being
        learnt, nor do they, or those of others before it, contradict it.
        """
        doubtful = self._clock.suspecting or self._clock.unusable
        return self._reading.calibrated and not doubtful

    def check(self) -> None:
        """Raises StampError if the clock was learnt, and the last packet may still be of any age.

        One that seems older than it is, or came before the clock was learnt, is for its reader to
        judge.
        """
        if self._clock.unusable:
            raise StampError(
                f"a packet is not used, as its times contradict the clock of {self._host} as it "
                "was learnt, or those of others just now do: does the clock jump about, or do two "
                "send from one address?"
            )

    def observe(
        self, newest_time: float, send_time: float | None, receive_time: float
    ) -> tuple[float, ClockReading]:
        """(seconds to add to every time of a packet, the clock), for a packet whose newest item was
        acquired at ``newest_time`` and which was sent at ``send_time``, both by the sender's clock,
        and received at ``receive_time`` [Unix s].
        """
        steady_time = receive_time - _wall_lead()
        observation = self._clock.observe(
            newest_time=newest_time,
            send_time=send_time,
            receive_time=receive_time,
            steady_time=steady_time,
        )
        before, clock = self._reading, self._clock.read()
        self._reading = self._stream.clock = clock
        stepped = clock.steps > before.steps
        if observation.notice:
            message = f"clock of {self._host}: {observation.notice}"
            if before.calibrated:
                self._stream.warn("clock step" if stepped else "clock", message)
            else:
                self._stream.inform("clock learnt", message)
        self._stream.troubles.keep(CLOCK_LEARNING, not clock.calibrated)
        self._stream.troubles.keep(CLOCK_CONTRADICTED, self._clock.contradicted)
        if self._clock.backlog:
            self._stream.trouble(
                BACKLOG,
                "packets come faster than their own times allow: they have waited, at the sender "
                "or on the way, and are as old as their times say",
            )
        if stepped:
            self._stream.troubles.see(CLOCK_STEP)
            self._rhythm.forget()
        if stepped or self._clock.suspecting:
            self._rhythm.heard(steady_time)
        else:
            sent = newest_time if send_time is None else send_time
            delay = receive_time - (sent + observation.offset)
            self._follow(newest_time, self._lateness(delay, send_time), steady_time)
        return observation.offset, clock

    def _lateness(self, delay: float, send_time: float | None) -> float | None:
        """How much later than the quickest a packet came [s]; None if that cannot be known.

        Without send times ``delay`` counts from acquisition, and a sender may well have waited for
        the one after.
        """
        if not self._reading.calibrated:
            return None
        if send_time is not None:
            return delay
        return delay - self._rhythm.period if self._reading.lower_bound else None

    def _follow(self, newest_time: float, late: float | None, steady_time: float) -> None:
        """Tell of what is unusual about when a packet comes."""
        found = self._rhythm.observe(newest_time, late, steady_time)
        if found:
            self._tell(found, late)

    def _tell(self, found: dict[str, int], late: float | None) -> None:
        rhythm = self._rhythm
        slow = (
            "after it was sent, by a clock that is trusted: is the way slow, or do the clocks "
            "differ?"
            if self._reading.mode == "trust"
            else "later than the quickest: is the network or a machine overloaded?"
        )
        for what, count in found.items():
            self._stream.trouble(
                what,
                {
                    LATE: f"a packet came {late or 0.0:.3f} s {slow}",
                    MISSING: f"{count} packet(s) missing between others ({rhythm.lost} so far): "
                    "lost on the way, or not sent?",
                    OVERTAKEN: f"a packet came after a later one ({rhythm.overtaken} so far): by "
                    "another way, or do two send?",
                    REPEATED: f"a packet has the time of one before ({rhythm.repeated} so far): "
                    "has the sender frozen, or do two send the same?",
                }[what],
            )


def _wall_lead() -> float:
    """This host's wall clock minus its monotonic clock [s].

    Read again if the thread was kept waiting in between, which would look like a clock that is set.
    """
    while True:
        before = time.monotonic()
        lead = time.time() - before
        if time.monotonic() - before < _AT_ONCE:
            return lead

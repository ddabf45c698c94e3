"""Brings a sender's times to this host's clock: learns, applies, reports and tells."""

from __future__ import annotations

import time

from vla_inference_ros.core.clock import ClockReading, HostClock
from vla_inference_ros.nodes.vla_node import Stream

CLOCK_MODE = (
    "how the sender's clock is taken: calibrate learns its offset, trust adds nothing, receive "
    "stamps with the time of receipt"
)
LONG_WAY = 0.01  # from the wire to a topic [s]
_AT_ONCE = 0.0005  # between two clock readings that are taken for one instant [s]


class SenderStamps:
    """The clock of one sending host; for the socket's thread alone."""

    def __init__(self, stream: Stream, mode: str, host: str) -> None:
        """``host`` is how messages to people call it."""
        self._clock = HostClock(mode)
        self._stream = stream
        self._host = host
        stream.clock = self._clock.read()

    def observe(
        self, newest_time: float, send_time: float | None, receive_time: float
    ) -> tuple[float, ClockReading]:
        """(seconds to add to every time of a packet, the clock), for a packet whose newest item was
        acquired at ``newest_time`` and which was sent at ``send_time``, both by the sender's clock,
        and received at ``receive_time`` [Unix s].
        """
        observation = self._clock.observe(
            newest_time=newest_time,
            send_time=send_time,
            receive_time=receive_time,
            steady_time=receive_time - _wall_lead(),
        )
        before, clock = self._stream.clock, self._clock.read()
        self._stream.clock = clock
        if observation.notice:
            message = f"clock of {self._host}: {observation.notice}"
            if before is not None and before.calibrated:
                kind = "clock step" if clock.steps > before.steps else "clock"
                self._stream.warn(kind, message)
            else:
                self._stream.inform("clock learnt", message)
        return observation.offset, clock


def _wall_lead() -> float:
    """This host's wall clock minus its monotonic clock [s].

    Read again if the thread was kept waiting in between, which would look like a clock that is set.
    """
    while True:
        before = time.monotonic()
        lead = time.time() - before
        if time.monotonic() - before < _AT_ONCE:
            return lead

"""The offset of a sender's clock: learnt from send and receive times, added to every time of it."""

from __future__ import annotations

CALIBRATION_PACKETS = 50


class ClockOffset:
    """Estimates receiver clock minus sender clock from the first packets, then keeps it.

    Each packet gives receive time - send time = offset + network delay. A delay is never negative,
    so the smallest difference seen is the best estimate (the lower envelope). It is usable from
    the first packet on and final after ``packets`` of them.

    Only *send* times teach the offset: a sample that waited 80 ms at the sender stays 80 ms old.
    """

    def __init__(self, packets: int = CALIBRATION_PACKETS) -> None:
        self._packets = packets
        self._seen = 0
        self._offset = 0.0

    @property
    def offset(self) -> float:
        """Seconds to add to the sender's times; 0 before the first packet."""
        return self._offset

    @property
    def calibrated(self) -> bool:
        """Whether the estimate is final."""
        return self._seen >= self._packets

    def update(self, send_time: float, receive_time: float) -> None:
        """Learn from one packet; both times in Unix seconds, each by its own host's clock."""
        if self.calibrated:
            return
        difference = receive_time - send_time
        self._offset = min(self._offset, difference) if self._seen else difference
        self._seen += 1

"""A sending host whose packets come at times that a test makes up, and get this host's stamps."""

from __future__ import annotations

import time
from typing import Any

from stream_log import Log

from vla_inference_ros.core.clock import CALIBRATION_TIME, ClockReading
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes.sender_stamps import SenderStamps
from vla_inference_ros.nodes.stream import Stream

SKEW = -1.5  # of the sender's clock [s]
PERIOD = 0.02  # between two packets [s]
LEARNING = round(CALIBRATION_TIME / PERIOD)  # packets that do not suffice to know a clock
WAITING = 0.08  # from the newest item's acquisition to its sending [s]
DELAY = 0.0002  # of the network [s]
CLOSE = 0.002  # this host's clocks may be read a moment apart [s]


class Host:
    """A sending host whose packets reach a bridge's stream."""

    def __init__(self, mode: str = "calibrate", *, sends_time: bool = True) -> None:
        self.log = Log()
        node: Any = self.log
        self.stream = Stream(node, "sensor")
        self.stamps = SenderStamps(self.stream, mode, "the sensor's host")
        self.skew = SKEW
        self._sends_time = sends_time
        self.period = PERIOD
        self.late = 0.0  # how much longer than usual the network takes [s]
        self._time = time.time()

    def steady_now(self) -> float:
        """When the last packet came, by this host's monotonic clock."""
        return self._time - (time.time() - time.monotonic())

    def skip(self, packets: int) -> None:
        """So many packets are lost."""
        self._time += packets * PERIOD

    def send_again(self) -> None:
        """The last packet once more."""
        self._time -= PERIOD
        self.send()

    def send(self, packets: int = 1) -> tuple[float, ClockReading]:
        """(how far the last one's acquisition time is off in this host's clock [s], the clock)."""
        for _ in range(packets):
            self._time += self.period
            sent = self._time + self.skew
            offset, clock = self.stamps.observe(
                sent - WAITING, sent if self._sends_time else None, self._time + DELAY + self.late
            )
        return sent - WAITING + offset - (self._time - WAITING), clock

    def report(self) -> StreamReport:
        return self.stream.report(self._time)

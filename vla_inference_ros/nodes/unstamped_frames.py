"""Frames of a view that wait until their sender's clock is known, the newest of them."""

from __future__ import annotations

from collections import deque

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.nodes.sender_stamps import SenderStamps
from vla_inference_ros.nodes.stream import Stream

# How long before its sending a frame may seem to have come; else its times are not the clock's [s].
_MOST_EARLY = 0.05


class UnstampedFrames:
    """For the socket's thread alone. What does not come to be published is counted."""

    def __init__(self, stream: Stream, most: int) -> None:
        """At most ``most`` wait."""
        self._stream, self._most = stream, most
        self._waiting: deque[tuple[SenderStamps, CameraFrame, float]] = deque()

    def add(self, stamps: SenderStamps, frame: CameraFrame, received: float) -> bool:
        """A frame waits for the clock of ``stamps``; whether an older one had to go."""
        self._waiting.append((stamps, frame, received))
        if len(self._waiting) <= self._most:
            return False
        self._waiting.popleft()
        return True

    def take(self, stamps: SenderStamps, offset: float) -> list[tuple[CameraFrame, float]]:
        """The frames, oldest first, and when each was received [Unix s], now that the clock is
        known: ``offset`` [s] is to be added to their times. None is of another sender, or of times
        that were damaged.
        """
        if not self._waiting:
            return []
        fit = []
        for whose, frame, received in self._waiting:
            sent = frame.timestamp if frame.send_time is None else frame.send_time
            if whose is stamps and received - (sent + offset) >= -_MOST_EARLY:
                fit.append((frame, received))
        self._stream.held_back += len(self._waiting) - len(fit)
        self._waiting.clear()
        return fit

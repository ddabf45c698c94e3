"""Frames that came before their sender's clock was known, and what becomes of them."""

from __future__ import annotations

from typing import Any

from stream_log import Log

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.nodes.sender_stamps import SenderStamps
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.unstamped_frames import UnstampedFrames

NOW = 1.7e9
OFFSET = 5.0  # to be added to the sender's times [s]
MOST = 10


def frame(number: int, error: float = 0.0, *, sends_time: bool = True) -> tuple[CameraFrame, float]:
    """A frame, taken 0.1 s before it was sent, and when it was received; 0.1 s apart."""
    sent = NOW + number / 10 - OFFSET + error
    picture = CameraFrame("zed", sent - 0.1, b"", 1, 1, sent if sends_time else None)
    return picture, NOW + number / 10 + 0.001


def setting() -> tuple[Stream, SenderStamps, UnstampedFrames]:
    node: Any = Log()
    stream = Stream(node, "View1")
    return stream, SenderStamps(stream, "calibrate", "a host"), UnstampedFrames(stream, MOST)


def test_they_come_in_order_once_the_clock_is_known() -> None:
    stream, stamps, unstamped = setting()
    frames = [frame(number, sends_time=number % 2 == 0) for number in range(MOST)]
    assert not any(unstamped.add(stamps, *each) for each in frames)
    assert unstamped.take(stamps, OFFSET) == frames
    assert unstamped.take(stamps, OFFSET) == []
    assert stream.held_back == 0


def test_of_many_the_newest_are_kept() -> None:
    _, stamps, unstamped = setting()
    frames = [frame(number) for number in range(3 * MOST)]
    dropped = [unstamped.add(stamps, *each) for each in frames]
    assert dropped == [False] * MOST + [True] * 2 * MOST
    assert unstamped.take(stamps, OFFSET) == frames[-MOST:]


def test_what_is_of_another_sender_or_another_clock_is_counted_and_left_out() -> None:
    stream, stamps, unstamped = setting()
    before = SenderStamps(stream, "calibrate", "another host")
    unstamped.add(before, *frame(0))
    unstamped.add(stamps, *frame(1))
    unstamped.add(stamps, *frame(2, error=2.0))
    assert unstamped.take(stamps, OFFSET) == [frame(1)]
    assert stream.held_back == 2

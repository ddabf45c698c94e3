"""Finds the pictures that a recorded VLM update was computed from."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from functools import partial

from vla_inference_ros.core.wire import CameraFrame
from vla_inference_ros.model.interface import View
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.replay.lineage import LATEST, SAME_TIME, NotRecordedError, UpTo

_MOST = 256  # pictures of a view that are kept, whatever their stamps say


class RecordedPictures:
    """Walks through a recording's pictures along with its VLM updates.

    A stamp names a picture, but for a camera that repeated itself byte for byte in a recording made
    with the VLM's former ``unchanged_pictures:=stale``: such a picture was as old as the last that
    differed, and so bears that one's stamp. What tells it is that a view's stamps then go back,
    though no picture with such a stamp has come since the last update.
    """

    def __init__(self, frames: Iterator[Received[CameraFrame]]) -> None:
        self._frames = UpTo(frames, lambda frame: min(frame.received, _stamp(frame)))
        self._kept: dict[str, deque[Received[CameraFrame]]]
        self._kept = defaultdict(partial(deque, maxlen=_MOST))
        self._used: dict[str, tuple[float, Received[CameraFrame]]] = {}  # stamp, picture

    def views(self, stamps: dict[str, float], until: float) -> list[View]:
        """The views of an update that says these ``stamps`` [Unix s] and was ready by ``until``.

        Updates are to be asked for in their order. NotRecordedError if a picture is missing.
        """
        for view, stamp in stamps.items():
            kept = self._kept[view]
            while kept and _stamp(kept[0]) < stamp - SAME_TIME:
                kept.popleft()
        for frame in self._frames(until + LATEST):
            if _stamp(frame) >= stamps.get(frame.view, float("inf")) - SAME_TIME:
                self._kept[frame.view].append(frame)
        views: list[View] = []
        missing: list[str] = []
        for view, stamp in stamps.items():
            picture = self._picture(view, stamp)
            if picture is None:
                self._used.pop(view, None)
                missing.append(view)
            else:
                self._used[view] = stamp, picture
                views.append(View(view, stamp, picture.packet.jpeg))
        if missing:
            raise NotRecordedError(f"pictures of {', '.join(missing)} are not in the recording")
        return views

    def _picture(self, view: str, stamp: float) -> Received[CameraFrame] | None:
        named = [f for f in self._kept[view] if abs(_stamp(f) - stamp) <= SAME_TIME]
        if view in self._used:
            last_stamp, last = self._used[view]
            newer = any(frame.received > last.received for frame in named)
            if stamp <= last_stamp + SAME_TIME and not newer:
                return last
        return named[-1] if named else None


def _stamp(frame: Received[CameraFrame]) -> float:
    return frame.packet.timestamp + frame.clock_offset

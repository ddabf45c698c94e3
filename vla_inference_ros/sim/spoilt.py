"""Packets whose stamps go on and whose content is dead or damaged, by the name of what is wrong.

Owns what each does to a packet. Does not own when, or to whom (``faults``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from vla_inference_ros.core.wire import CameraFrame, SensorDatagram
from vla_inference_ros.sim.formats import ANY_PICTURE, Packet
from vla_inference_ros.sim.jpeg_content import (
    commented,
    cut,
    emptied,
    endless,
    flickered,
    zeroed,
)

_DARK = 6.0  # brightness of what a covered lens gives, and its noise [levels of 255]
_NOISE = 4.0

_RINGS = {"ring": 2, "loop": 12}  # pictures

OWN = "own"  # what the packet brings
CAMERA_CONTENTS = {
    OWN: "its own",
    "frozen": "the first picture again and again, each with a new comment",
    "ring": "two old pictures by turns",
    "loop": "the first twelve pictures again and again",
    "blank": "black with noise, as of a covered lens",
    "twin": "the newest picture of the first camera, from all",
    "zeroed": "the coded data all zeros",
    "cut": "half of the coded data",
    "emptied": "no coded data",
    "endless": "a progressive JPEG of 5000 scans",
}
DAMAGED = ("zeroed", "cut", "emptied")  # what no decoder can make a picture of
SENSOR_CONTENTS = {OWN: "its own", "constant": "the first sample again and again"}
CONTENTS = {"camera": CAMERA_CONTENTS, "sensor": SENSOR_CONTENTS}


class SpoiltContent:
    """Spoils one stream's packets in one of its ``CONTENTS``; a new one begins anew."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._number = 0
        self._kept: dict[str, list[bytes]] = {}  # pictures that come again, by camera
        self._sample: tuple[np.ndarray, np.ndarray] | None = None

    def spoil(self, packet: Packet) -> Packet:
        """The packet with its own times; raises WireError for one that cannot be read."""
        self._number += 1
        if self._what in SENSOR_CONTENTS:
            return self._constant(packet)
        frame = CameraFrame.unpack(packet, ANY_PICTURE)
        return [packet[0], self._picture(frame), *packet[2:]]

    def _picture(self, frame: CameraFrame) -> bytes:
        ways: dict[str, Callable[[bytes], bytes]] = {
            "zeroed": zeroed,
            "cut": cut,
            "emptied": emptied,
        }
        if self._what in ways:
            return ways[self._what](frame.jpeg)
        if self._what == "twin":
            first = next(iter(self._kept), frame.camera)
            if frame.camera == first:
                self._kept[first] = [frame.jpeg]
            return self._kept[first][0]
        kept = self._kept.setdefault(frame.camera, [])
        if self._what in _RINGS:
            kept.append(frame.jpeg if len(kept) < _RINGS[self._what] else kept.pop(0))
            return kept[-1]
        if not kept:
            make = {"blank": _blank, "endless": endless, "frozen": lambda jpeg: jpeg}
            kept.append(make[self._what](frame.jpeg))
        if self._what == "blank":
            return flickered(kept[0], self._number)
        return commented(kept[0], str(self._number)) if self._what == "frozen" else kept[0]

    def _constant(self, packet: Packet) -> Packet:
        datagram = SensorDatagram.unpack(packet[0])
        if self._sample is None:
            self._sample = datagram.force[:1].copy(), datagram.ascan[:1].copy()
        count = len(datagram.times)
        force, ascan = (np.repeat(each, count, axis=0) for each in self._sample)
        return [replace(datagram, force=force, ascan=ascan).pack()]


def _blank(jpeg: bytes) -> bytes:
    """A black picture of the same size, with noise."""
    frame = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if frame is None:
        raise ValueError("the JPEG cannot be decoded")
    noise = np.random.default_rng(0).normal(_DARK, _NOISE, frame.shape)
    return cv2.imencode(".jpg", np.clip(noise, 0, 255).astype(np.uint8))[1].tobytes()

"""What the report keeps of a recording: numbers of each thing, and a few pictures.

About 130 MB for each hour of recording at the full rates of the rig.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.recording import Features, Recording
from vla_inference_ros.recording.traffic import Received
from vla_inference_ros.report.chunks import Chunks, ChunksReader, usual_shape
from vla_inference_ros.report.holds import Hold, holds
from vla_inference_ros.report.rows import Rows
from vla_inference_ros.report.thumbnails import Thumbnails

Thing = TypeVar("Thing")

_LOOKED_AT = 100  # chunks at the beginning, that tell what most are like

# By the sender's own clock, and by this host's; what tells two contents apart. [Unix s]
_ITEM: list[tuple[Any, ...]] = [
    ("own", "<f8"),
    ("stamp", "<f8"),
    ("received", "<f8"),
    ("digest", "<u4"),
]
ITEM = np.dtype(_ITEM)
SAMPLE = np.dtype([*_ITEM, ("force", "<f4")])  # [N]
STATE = np.dtype([*_ITEM, ("force", "<f4"), ("joints", "<f4", 6), ("pose", "<f4", 6)])
UPDATE = np.dtype([("stamp", "<f8"), ("started", "<f8"), ("finished", "<f8")])


@dataclass(slots=True, eq=False)
class Content:
    """Rows, in the order of receipt: of ITEM for each view, of SAMPLE, STATE and UPDATE.

    Joints in deg, poses in mm and deg, as the robot sends them. Of a bag that is ``unfinished``,
    this is all that it has. What was ``left_out`` as odd, in words.
    """

    path: Path
    unfinished: bool = False
    views: dict[str, NDArray[Any]] = field(default_factory=dict)
    cameras: dict[str, Counter[str]] = field(default_factory=dict)
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    states: NDArray[Any] = field(default_factory=lambda: np.empty(0, STATE))
    samples: NDArray[Any] = field(default_factory=lambda: np.empty(0, SAMPLE))
    updates: NDArray[Any] = field(default_factory=lambda: np.empty(0, UPDATE))
    chunks: Chunks | None = None
    holds: list[Hold] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first thing came and the last [Unix s]; None if nothing was recorded."""
        times = [rows["received"] for rows in (*self.views.values(), self.states, self.samples)]
        times.append(self.updates["finished"])
        if self.chunks is not None:
            times.append(self.chunks.rows["stamp"])
        times = [each[np.isfinite(each)] for each in times]
        times = [each for each in times if len(each)]
        if not times:
            return None
        return min(float(each.min()) for each in times), max(float(each.max()) for each in times)


def read(recording: Recording) -> Content:
    """Reads all of a recording once; RecordingError where it is damaged."""
    content = Content(recording.path, isinstance(recording, Bag) and not recording.complete)
    _read_frames(content, _shown(recording.frames(), "pictures"))
    content.states = _states(_shown(recording.states(), "robot states"))
    content.samples = _samples(_shown(recording.samples(), "sensor datagrams"))
    _read_updates(content, _shown(recording.features(), "VLM updates"))
    leaving = recording.odd.reading("reported action chunks")
    results = _shown(recording.results(), "action chunks")
    beginning = list(islice(results, _LOOKED_AT))
    reader = ChunksReader(usual_shape(beginning))
    for result in chain(beginning, results):
        leaving.made(f"{recording.path}", reader.add, result)
    content.chunks = reader.chunks()
    content.holds = holds(recording)
    content.left_out = recording.odd.lines()
    return content


def _shown(things: Iterable[Thing], what: str) -> Iterator[Thing]:
    yield from tqdm(things, desc=f"Reading {what}", unit="", disable=None, leave=False)


def _read_frames(content: Content, frames: Iterable[Received[CameraFrame]]) -> None:
    views: dict[str, Rows] = {}
    for frame in frames:
        if frame.view not in views:
            views[frame.view] = Rows(ITEM)
            content.cameras[frame.view] = Counter()
        content.cameras[frame.view][frame.packet.camera] += 1
        digest = zlib.crc32(frame.packet.jpeg)
        own = frame.packet.timestamp
        views[frame.view].append((own, own + frame.clock_offset, frame.received, digest))
        content.thumbnails.offer(frame.view, frame.received, frame.packet.jpeg)
    content.views = {view: views[view].array() for view in sorted(views)}


def _states(states: Iterable[Received[RobotPacket]]) -> NDArray[Any]:
    rows = Rows(STATE)
    for state in states:
        packet, own = state.packet, state.packet.origin_time
        digest = zlib.crc32(np.array([packet.force, *packet.joints, *packet.pose]).tobytes())
        item = (own, own + state.clock_offset, state.received, digest)
        rows.append((*item, packet.force, packet.joints, packet.pose))
    return rows.array()


def _samples(datagrams: Iterable[Received[SensorDatagram]]) -> NDArray[Any]:
    rows = Rows(SAMPLE)
    for datagram in datagrams:
        packet = datagram.packet
        part = np.empty(len(packet.times), SAMPLE)
        part["own"] = packet.times
        part["stamp"] = packet.times + datagram.clock_offset
        part["received"] = datagram.received
        part["force"] = packet.force
        part["digest"] = [zlib.crc32(ascan.tobytes()) for ascan in packet.ascan]
        rows.extend(part)
    return rows.array()


def _read_updates(content: Content, updates: Iterable[Features]) -> None:
    rows = Rows(UPDATE)
    for update in updates:
        oldest = min(update.view_stamps.values(), default=np.nan)
        rows.append((oldest, update.started, update.finished))
    content.updates = rows.array()

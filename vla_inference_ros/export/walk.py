"""All that a recording holds, in the order of time, one thing after the other."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, TypeAlias

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.export.chunks import Chunk, chunks
from vla_inference_ros.recording.recording import Features, Recording, traffic
from vla_inference_ros.recording.traffic import Received

Item: TypeAlias = (
    Received[CameraFrame] | Received[RobotPacket] | Received[SensorDatagram] | Chunk | Features
)


def walk(recording: Recording) -> Iterator[tuple[float, Item]]:
    """Each thing with its time [Unix s]: of receipt for what was sent, of the end for a VLM update,
    of step 0 for an action chunk. Of equal times, an action chunk comes last.
    """
    streams: list[Iterator[tuple[float, Any]]] = [
        ((packet.received, packet) for packet in traffic(recording)),
        ((features.finished, features) for features in recording.features()),
        ((chunk.time, chunk) for chunk in chunks(recording)),
    ]
    return heapq.merge(*streams, key=lambda timed: timed[0])

"""A run folder of today's layout, and what a test reads of one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from old_run import START
from recorded import OFFSET, datagram, frame, packet

from vla_inference_ros.recording.recording import Recording, traffic
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.traffic import Received

COUNT = 12
LATE = 0.75  # from acquisition to receipt, by the two clocks [s]


def written(parent: Path, count: int = COUNT, close: bool = True) -> Path:
    writer = RunWriter(parent, START)
    for number in range(count):
        received = frame(number).timestamp + OFFSET + LATE
        view = f"View{number % 2 + 1}"
        writer.add_frame(Received(frame(number), OFFSET, received, view))
        writer.add_state(Received(packet(number), OFFSET, received))
        writer.add_samples(Received(datagram(number), OFFSET, received))
        writer.add_result({"number": number, "actions": [[1.5] * 7] * 8})
    if close:
        writer.close()
    return writer.folder


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def everything(recording: Recording) -> list[object]:
    return [*traffic(recording), *recording.results(), *recording.features()]


def streams(folder: Recording) -> list[Iterator[Any]]:
    """Pictures, robot states, samples and action chunks."""
    samples = (time for each in folder.samples() for time in each.packet.times)
    return [folder.frames(), folder.states(), samples, folder.results()]

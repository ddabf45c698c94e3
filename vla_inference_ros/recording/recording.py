"""What was recorded of a run, read the same way from a run folder as from a bag."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.odd import Odd, RecordingError
from vla_inference_ros.recording.traffic import Received

__all__ = ["Features", "Recording", "RecordingError", "Result", "float32_numbers", "traffic"]

Result: TypeAlias = dict[str, Any]  # an action chunk, with the keys of docs/run_folder.md


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A VLM update: ``data`` (1, 1, D) float32 of the pictures that were acquired at
    ``view_stamps`` [Unix s], keyed by view. It was computed from ``started`` to ``finished``.
    """

    update_id: int
    data: NDArray[np.float32]
    view_stamps: dict[str, float]
    instruction: str
    model_id: str
    started: float
    finished: float


class Recording(Protocol):
    """A run folder or a bag.

    The iterators go from the oldest to the newest, hold one thing at a time, and can be asked for
    again. What makes no sense is left out, and told of by ``odd``. They raise RecordingError where
    the recording is damaged.
    """

    path: Path
    odd: Odd

    def frames(self) -> Iterator[Received[CameraFrame]]:
        """All pictures, by the time of receipt."""

    def states(self) -> Iterator[Received[RobotPacket]]:
        """All robot states, likewise."""

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        """All sensor samples, likewise."""

    def results(self) -> Iterator[Result]:
        """All action chunks."""

    def features(self) -> Iterator[Features]:
        """All VLM updates; a run folder has none."""


def float32_numbers(value: object) -> NDArray[np.float32]:
    """The numbers of a result, such as its actions, of whatever shape; each reader judges whether
    that and they are fit. One that is too large for float32 is infinite.

    TypeError or ValueError if they are no numbers, or the lists in a list have different lengths.
    """
    try:
        with np.errstate(over="ignore"):
            return np.array(value, np.float32)
    except OverflowError as error:  # an integer that is too large for any float
        raise ValueError(str(error)) from error


def traffic(recording: Recording) -> Iterator[Received[Any]]:
    """All that the senders sent, by the time of receipt."""
    return heapq.merge(
        recording.frames(),
        recording.states(),
        recording.samples(),
        key=lambda packet: packet.received,
    )

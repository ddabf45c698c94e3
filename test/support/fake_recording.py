"""A recording that is computed, so that its length costs no memory; every thing has its number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from vla_inference_ros.core.wire import CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.traffic import Received

START = 1_700_000_000.0  # when the first thing was acquired, by this host's clock [Unix s]
OFFSET = 0.5  # what is added to the senders' times
DELAY = 0.01  # from acquisition to receipt [s]
CAMERA_RATE, ROBOT_RATE, DATAGRAM_RATE, RATE = 5, 20, 20, 10  # [1/s]
SAMPLES = 3  # in a datagram
POINTS = 1025
INSTRUCTION = "Touch the lens"
FIRST_CHUNK = 0.5  # after the first things [s]
WIDTH, HEIGHT = 64, 48


def picture(number: int) -> bytes:
    """A JPEG of one colour, with its number behind the end."""
    colour = np.full((HEIGHT, WIDTH, 3), (number % 200, 100, 50), np.uint8)
    return cv2.imencode(".jpg", colour)[1].tobytes() + number.to_bytes(4, "big")


@dataclass
class FakeRecording:
    """``seconds`` of all streams. Chunk ``number`` is for ``chunk_time``; those in ``held`` were
    never made. It has VLM updates if there are ``instructions``, each for as many seconds, and is
    else like an older run folder, whose chunks do not say theirs.
    """

    path: Path = Path("fake")
    seconds: float = 3.0
    held: frozenset[int] = frozenset()
    instructions: tuple[str, ...] = (INSTRUCTION,)
    views: tuple[str, ...] = VIEWS
    jpeg_size: int = 0  # of a picture, at least [bytes]
    results_extra: dict[str, object] = field(default_factory=dict)
    odd: Odd = field(default_factory=Odd)

    def frames(self) -> Iterator[Received[CameraFrame]]:
        padding = np.random.default_rng(0).bytes(self.jpeg_size)
        for number in range(round(self.seconds * CAMERA_RATE)):
            t = START - OFFSET + number / CAMERA_RATE
            for view in self.views:
                jpeg = picture(number)
                # An application segment, which decoders skip.
                size = min(len(padding), 65_000) + 2
                segment = b"\xff\xe9" + size.to_bytes(2, "big") + padding[: size - 2]
                jpeg = jpeg[:2] + segment + jpeg[2:] if padding else jpeg
                packet = CameraFrame(f"cam {view}", t, jpeg, WIDTH, HEIGHT, t + DELAY / 2)
                yield Received(packet, OFFSET, t + OFFSET + DELAY, view)

    def states(self) -> Iterator[Received[RobotPacket]]:
        for number in range(round(self.seconds * ROBOT_RATE)):
            t = START - OFFSET + number / ROBOT_RATE
            yield Received(self.packet(number, t), OFFSET, t + OFFSET + DELAY)

    @staticmethod
    def packet(number: int, t: float) -> RobotPacket:
        joints = np.float32(number) / 7 + np.arange(6, dtype=np.float32)
        pose = -joints * np.float32(1.1)
        force = float(np.float32(number) / 3)
        return RobotPacket(t, t + DELAY / 2, force, tuple(joints.tolist()), tuple(pose.tolist()))

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        for number in range(round(self.seconds * DATAGRAM_RATE)):
            t = START - OFFSET + number / DATAGRAM_RATE
            times = t - np.arange(SAMPLES)[::-1] / 1000
            force = np.float32(number) / 3 + np.arange(SAMPLES, dtype=np.float32)
            ascan = np.full((SAMPLES, POINTS), np.float32(number) / 7, np.float32)
            packet = SensorDatagram(times, times + DELAY / 2, force, ascan)
            yield Received(packet, OFFSET, t + OFFSET + DELAY)

    def chunk_numbers(self) -> list[int]:
        count = round((self.seconds - FIRST_CHUNK) * RATE)
        return [number for number in range(count) if number not in self.held]

    @staticmethod
    def chunk_time(number: int) -> float:
        return START + FIRST_CHUNK + number / RATE

    @staticmethod
    def actions(number: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        values = np.arange(56, dtype=np.float32).reshape(8, 7)
        return (values + np.float32(number)) / np.float32(3)

    def results(self) -> Iterator[Result]:
        said = {update.update_id: update.instruction for update in self.features()}
        for number in self.chunk_numbers():
            t = self.chunk_time(number)
            yield {
                "timestamp": t,
                "actions": self.actions(number).tolist(),
                "delta": (-self.actions(number)).tolist(),
                "inference_time": 0.024,
                "vl_update_number": number // 4 + 1,
                "robot_state": {"joints": [0.0] * 6, "pose": [0.0] * 6, "timestamp": t - 0.02},
                "chunk_id": number + 1,
                "step_dt": 1 / RATE,
                "action_names": list(ACTION_NAMES),
                "validity": "DEGRADED" if number % 5 == 4 else "OK",
                "valid_steps": 4 if number % 5 == 4 else 8,
                "reasons": ["old features", "few samples"] if number % 5 == 4 else [],
                "view_timestamps": dict.fromkeys(self.views, t - 0.4),
                "features_age": 0.4,
                **({"instruction": said[number // 4 + 1]} if said else {}),
                **self.results_extra,
            }

    def features(self) -> Iterator[Features]:
        if not self.instructions:
            return
        for update in range(round(self.seconds * RATE) // 4 + 1):
            finished = START + FIRST_CHUNK + 4 * update / RATE - 0.01
            which = min(int(finished - START), len(self.instructions) - 1)
            stamps = dict.fromkeys(self.views, finished - 0.4)
            data = np.zeros((1, 1, 2048), np.float32)
            yield Features(
                update + 1,
                data,
                stamps,
                self.instructions[which],
                "tiny",
                finished - 0.38,
                finished,
            )

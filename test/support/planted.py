"""A recording of which everything is known: what is missing, late or odd was planted there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vla_inference_ros.core.wire import ASCAN_LENGTH, CameraFrame, RobotPacket, SensorDatagram
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.traffic import Received

START = 1_700_000_000.0  # when the first thing was acquired, by the receiver's clock [Unix s]
LENGTH = 20.0  # of the recording [s]
OFFSET = 5.0  # that is added to the senders' times at first; 0.01 more from LEARNT on [s]
LEARNT = 1.0  # after the start [s]
LATENCY = 0.0625  # from acquisition to receipt [s]
VIEWS = ("View1", "View2", "View3", "View4", "View5")
FPS, STATE_RATE, SAMPLE_RATE, BATCH = 10, 100, 650, 13

LOST_FRAMES = range(50, 55)  # of View2
TWICE = (30, 90)  # frames of View3 that come twice
LOST_STATES = range(800, 810)
LOST_BATCHES = (200, 201, 500)
TWICE_BATCH, SWAPPED_BATCH = 600, 700  # comes twice; comes after the one behind it
PEAK = 8123, 9.5  # a single sample's number and force [N]

FIRST_CHUNK = 10  # in tenths of a second after the start, as the next three
HELD = range(101, 120)  # ticks without a chunk
DEGRADED = range(140, 150)
JUMP_AT, JUMP, JUMPED = 50, 0.25, 3  # from this tick on this dimension is off by this
STEP, HORIZON, DIMENSIONS = 0.1, 8, 7
FEATURES_AGE, SENSOR_AGE, ROBOT_AGE = 0.5, 0.02, 0.01
WORST_FEATURES_AGE = 1.25  # while DEGRADED [s]
UPDATE = 0.38  # [s]
INSTRUCTION = "Perform <script>alert(1)</script> & $\\frac{1}{ needle insertion"
MODEL = 'tiny "f0f21b14" <b>float32</b>'


@cache
def jpeg(view: str) -> bytes:
    pixels = np.full((72, 128, 3), 40 * VIEWS.index(view) if view in VIEWS else 99, np.uint8)
    cv2.putText(pixels, view, (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255))
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def clock_offset(since: float) -> float:
    return OFFSET if since < LEARNT else OFFSET + 0.01


@dataclass
class Planted:
    """Implements ``Recording``; of ``streams`` only those named are there."""

    path: Path
    streams: frozenset[str] = frozenset({"frames", "states", "samples", "results", "features"})
    camera: str = "<script>alert(2)</script>_left"
    changes: dict[str, Any] = field(default_factory=dict)  # to every result
    odd: Odd = field(default_factory=Odd)

    def frames(self) -> Iterator[Received[CameraFrame]]:
        if "frames" not in self.streams:
            return
        for number in range(int(LENGTH * FPS)):
            since = number / FPS
            for view in VIEWS:
                if view == "View2" and number in LOST_FRAMES:
                    continue
                for _ in range(2 if view == "View3" and number in TWICE else 1):
                    yield self._frame(view, number, since)

    def _frame(self, view: str, number: int, since: float) -> Received[CameraFrame]:
        offset, taken = clock_offset(since), START + since
        data = jpeg(view) + number.to_bytes(4, "big")
        packet = CameraFrame(self.camera, taken - OFFSET, data, 128, 72)
        return Received(packet, offset, taken + LATENCY, view)

    def states(self) -> Iterator[Received[RobotPacket]]:
        if "states" not in self.streams:
            return
        for number in range(int(LENGTH * STATE_RATE)):
            if number in LOST_STATES:
                continue
            since = number / STATE_RATE
            joints = tuple(10.0 * index + np.sin(since) for index in range(6))
            own = START + since - OFFSET
            packet = RobotPacket(own, own, 0.1, joints, joints)
            yield Received(packet, clock_offset(since), START + since + LATENCY)

    def samples(self) -> Iterator[Received[SensorDatagram]]:
        if "samples" not in self.streams:
            return
        order = list(range(int(LENGTH * SAMPLE_RATE / BATCH)))
        order[SWAPPED_BATCH : SWAPPED_BATCH + 2] = reversed(
            order[SWAPPED_BATCH : SWAPPED_BATCH + 2]
        )
        order.insert(TWICE_BATCH, TWICE_BATCH)
        for batch in order:
            if batch not in LOST_BATCHES:
                yield self._datagram(batch)

    def _datagram(self, batch: int) -> Received[SensorDatagram]:
        numbers = batch * BATCH + np.arange(BATCH)
        since = numbers / SAMPLE_RATE
        force = (0.2 + 0.1 * np.sin(since)).astype(np.float32)
        force[numbers == PEAK[0]] = PEAK[1]
        own = START + since - OFFSET
        packet = SensorDatagram(own, own, force, np.zeros((BATCH, ASCAN_LENGTH), np.float32))
        received = float(START + since[-1] + LATENCY)
        return Received(packet, clock_offset(float(since[0])), received)

    def results(self) -> Iterator[Result]:
        if "results" not in self.streams:
            return
        ticks = [tick for tick in range(FIRST_CHUNK, int(LENGTH * 10)) if tick not in HELD]
        for number, tick in enumerate(ticks, start=1):
            yield {**self._result(number, tick), **self.changes}

    def _result(self, number: int, tick: int) -> Result:
        stamp = START + tick * STEP
        instants = (tick + np.arange(HORIZON)) * STEP
        actions = instants[:, None] * np.arange(1, DIMENSIONS + 1) / 100.0
        if tick >= JUMP_AT:
            actions[:, JUMPED] += JUMP
        degraded = tick in DEGRADED
        features_age = WORST_FEATURES_AGE if degraded else FEATURES_AGE
        return {
            "timestamp": stamp,
            "actions": actions.tolist(),
            "delta": actions.tolist(),
            "inference_time": 0.024,
            "vl_update_number": tick // 4,
            "robot_state": {"joints": [0.0] * 6, "pose": [0.0] * 6, "timestamp": stamp - ROBOT_AGE},
            "chunk_id": number,
            "step_dt": STEP,
            "action_names": [*(f"joint_{axis}" for axis in range(1, 7)), "gripper"],
            "validity": "DEGRADED" if degraded else "OK",
            "valid_steps": 4 if degraded else 8,
            "reasons": [f"features are 1.2{tick % 10} s old, over 1 s"] if degraded else [],
            "model_id": MODEL,
            "features_model_id": MODEL,
            "instruction": INSTRUCTION,
            "view_timestamps": dict.fromkeys(VIEWS, stamp - features_age),
            "features_timestamp": stamp - features_age,
            "sensor_last_timestamp": stamp - SENSOR_AGE,
            "sensor_samples": 65,
            "sensor_missing": 13 if degraded else 0,
            "features_age": features_age,
            "sensor_age": SENSOR_AGE,
            "robot_age": ROBOT_AGE,
        }

    def features(self) -> Iterator[Features]:
        if "features" not in self.streams:
            return
        for number in range(1, int(LENGTH * 2.5)):
            started = START + 0.4 * number
            stamps = dict.fromkeys(VIEWS, started - 0.05)
            data = np.zeros((1, 1, 4), np.float32)
            yield Features(number, data, stamps, INSTRUCTION, MODEL, started, started + UPDATE)

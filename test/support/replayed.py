"""A run without a graph: what the bridges, the VLM and the action expert publish, computed as they
compute it, to be recorded and replayed.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message

from vla_inference_ros import convert
from vla_inference_ros.core.validity import Budgets, Inputs, judge
from vla_inference_ros.core.window import SensorWindow
from vla_inference_ros.core.wire import (
    ASCAN_LENGTH,
    SENSOR_CHANNELS,
    SENSOR_RATE,
    CameraFrame,
    SensorDatagram,
)
from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    HORIZON,
    SENSOR_WINDOW,
    ActionModel,
    FeatureModel,
    View,
)
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.msg import ActionChunk, SensorBatch, VLFeatures
from vla_inference_ros.nodes.chunk import draft_chunk, put_steps
from vla_inference_ros.nodes.expert_inputs import Features
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.messages import camera_frame, result_of, sensor_datagram
from vla_inference_ros.recording.run_folder import RunWriter
from vla_inference_ros.recording.topics import TOPICS

START = 1_700_000_000.25  # by this host's clock [Unix s]
SKEW = 12.345678  # of the senders' clocks behind it [s]
VIEWS = ("View1", "View2")
SAMPLES = 15  # in a datagram
CHUNKS = 12  # unless it is said otherwise
_SENSOR_PERIOD = SAMPLES / SENSOR_RATE
_FRAME_PERIOD, _TICK, _UPDATE = 1 / 15, 0.1, 0.4
_DELAY = 0.002  # of a message [s]


@dataclass(frozen=True, slots=True)
class Published:
    """A message, and when it was published [Unix s]."""

    time: float
    topic: str
    message: Any


def models(name: str) -> tuple[FeatureModel, ActionModel]:
    """As the nodes load them."""
    common: dict[str, Any] = {"torch_threads": 1, "stub_seconds": 0.0}
    vlm = load_feature_model(name, "", "cpu", "auto", **common)
    return vlm.model, load_action_model(name, "", "cpu", "auto", "concat", **common).model


def picture(seed: int) -> bytes:
    """A JPEG, another for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, (160, 90)))[1].tobytes()


def sensor_batch(number: int, offset: float = SKEW, jitter: float = 0.0) -> SensorBatch:
    """The batch of datagram ``number``; its samples are off the beat by up to ``jitter`` [s]."""
    random = np.random.default_rng(number)
    times = START - SKEW + (number * SAMPLES + np.arange(SAMPLES)) / SENSOR_RATE
    times = np.sort(times + random.uniform(-jitter, jitter, SAMPLES))
    ascan = random.normal(size=(SAMPLES, ASCAN_LENGTH)).astype(np.float32)
    datagram = SensorDatagram(times, times + 0.001, ascan[:, 3].copy(), ascan)
    return convert.sensor_batch(datagram, offset, "sensor")


def published_at(batch: SensorBatch) -> float:
    return convert.seconds(batch.stamps[-1]) + _DELAY


def action_chunk(
    window: SensorWindow, stamp: float, fill: str = "zero", features: VLFeatures | None = None
) -> tuple[ActionChunk, NDArray[np.float32]]:
    """A chunk without steps for the instant ``stamp``, and its window's values."""
    message = features or VLFeatures(update_id=1, header=convert.header(stamp - 0.3))
    snapshot = window.snapshot()
    values = np.array(message.data, np.float32).reshape(tuple(message.shape) or (1, 1, 0))
    seen = Features(message, convert.seconds(message.header.stamp), values)
    inputs = Inputs(0.3, 1, 4, 0.01, True, snapshot.samples, SENSOR_WINDOW, None)
    verdict = judge(inputs, Budgets(), HORIZON, _TICK)
    chunk = draft_chunk(seen, snapshot, inputs=inputs, verdict=verdict, stamp=stamp)
    chunk.sensor_fill, chunk.step_dt = fill, _TICK
    return chunk, snapshot.values


def run(
    vlm: FeatureModel,
    expert: ActionModel,
    *,
    chunks: int = CHUNKS,
    fill: str = "zero",
    instruction: str = DEFAULT_INSTRUCTION,
    lost: Sequence[int] = (2, 11, 12),
) -> list[Published]:
    """What is published until there are so many chunks, without the ``lost`` datagrams."""
    end = START + 1.0 + chunks * _TICK
    batches = [sensor_batch(number) for number in range(int((end - START) / _SENSOR_PERIOD))]
    traffic = [
        Published(published_at(batch), "/sensor/samples", batch)
        for number, batch in enumerate(batches)
        if number not in lost
    ]
    for number in range(int((end - START) / _FRAME_PERIOD)):
        for view in VIEWS:
            traffic += _frame(view, number)
    traffic.sort(key=lambda item: item.time)
    ticks = [START + 1.0 + number * _TICK for number in range(chunks)]
    return sorted(
        [*traffic, *_computed(traffic, ticks, vlm, expert, fill, instruction)],
        key=lambda item: item.time,
    )


def _frame(view: str, number: int) -> list[Published]:
    taken = START - SKEW + number * _FRAME_PERIOD + int(view[-1]) * 0.003
    frame = CameraFrame(f"camera of {view}", taken, picture(100 * number + int(view[-1])), 160, 90)
    image = convert.compressed_image(frame, SKEW, view.lower())
    info = convert.frame_info(frame, SKEW, image.header)
    time = taken + SKEW + _DELAY
    topic = f"/camera/{view.lower()}/image_raw/compressed"
    return [Published(time, "/camera/frame_info", info), Published(time + 1e-4, topic, image)]


def _computed(
    traffic: Sequence[Published],
    ticks: Sequence[float],
    vlm: FeatureModel,
    expert: ActionModel,
    fill: str,
    instruction: str,
) -> Iterable[Published]:
    """The features and chunks; an update takes half of its period."""
    window = SensorWindow(SENSOR_WINDOW, SENSOR_CHANNELS, SENSOR_RATE, fill)
    left = list(traffic)
    newest: dict[str, Any] = {}
    features, updates = VLFeatures(), 0

    def take(until: float) -> None:
        while left and left[0].time <= until:
            item = left.pop(0)
            newest[item.topic] = item.message
            if item.topic == "/sensor/samples":
                window.append(*convert.sensor_arrays(item.message), item.message.clock_offset)

    for number, tick in enumerate(ticks):
        if number % round(_UPDATE / _TICK) == 0:
            started = tick - _UPDATE / 2
            take(started)
            updates += 1
            features = _features(vlm, newest, updates, started, instruction)
            yield Published(tick - 0.01, "/vla/features", features)
        take(tick)
        chunk, values = action_chunk(window, tick, fill, features)
        chunk.chunk_id, chunk.model_id = number + 1, expert.model_id
        put_steps(chunk, expert.act(np.reshape(features.data, features.shape), values))
        yield Published(tick + 0.02, "/vla/actions", chunk)


def _features(
    vlm: FeatureModel, newest: dict[str, Any], number: int, started: float, instruction: str
) -> VLFeatures:
    images = [newest[f"/camera/{view.lower()}/image_raw/compressed"] for view in VIEWS]
    views = [View(v, 0.0, i.data.tobytes()) for v, i in zip(VIEWS, images, strict=True)]
    values = vlm.features(views, instruction)
    return VLFeatures(
        header=convert.header(min(convert.seconds(image.header.stamp) for image in images)),
        update_id=number,
        instruction=instruction,
        model_id=vlm.model_id,
        views=list(VIEWS),
        view_stamps=[image.header.stamp for image in images],
        started=convert.time_message(started),
        finished=convert.time_message(started + _UPDATE / 2 - 0.01),
        shape=list(values.shape),
        data=array("f", values.tobytes()),
    )


def write_bag(folder: Path, messages: Iterable[Published]) -> Path:
    """As the bag recorder writes it."""
    writer = BagWriter(folder)
    for item in messages:
        data = serialize_message(item.message)
        writer.write(item.topic, TOPICS[item.topic], round(item.time * 1e9), data)
    writer.close()
    return folder


def write_run(folder: Path, messages: Iterable[Published]) -> Path:
    """As the recorder writes it: a run folder in ``folder``."""
    writer = RunWriter(folder, START)
    infos: dict[str, Any] = {}
    for item in messages:
        if item.topic == "/camera/frame_info":
            infos[item.message.header.frame_id] = item.message
        elif item.topic == "/sensor/samples":
            writer.add_samples(sensor_datagram(item.message, item.time))
        elif item.topic == "/vla/actions":
            writer.add_result(result_of(item.message))
        elif item.topic.startswith("/camera/"):
            view = item.message.header.frame_id
            writer.add_frame(
                camera_frame(item.message, infos[view], view.replace("view", "View"), item.time)
            )
    writer.close()
    return writer.folder


def with_results(run: Path, parent: Path, change: Callable[[str], str]) -> Path:
    """A run folder like another, whose results' text is changed."""
    folder = parent / run.name
    folder.mkdir()
    for path in run.iterdir():
        if path.suffix == ".json":
            (folder / path.name).write_text(
                change(path.read_text(encoding="utf-8")), encoding="utf-8"
            )
        else:
            (folder / path.name).symlink_to(path)
    return folder

"""A computed recording as the bag that a recorder would have made of it."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fake_recording import FakeRecording
from rclpy.serialization import serialize_message

from vla_inference_ros import convert
from vla_inference_ros.msg import ActionChunk, VLFeatures
from vla_inference_ros.recording.bag_writer import BagWriter
from vla_inference_ros.recording.recording import Features, Result
from vla_inference_ros.recording.topics import (
    ACTIONS,
    FEATURES,
    FRAME_INFO,
    IMAGES,
    ROBOT_STATE,
    SAMPLES,
    TOPICS,
)


def write_bag(fake: FakeRecording, folder: Path) -> Path:
    """All of a recording, by the times of receipt."""
    writer = BagWriter(folder)
    for stamp, topic, message in heapq.merge(
        _frames(fake),
        _states(fake),
        _samples(fake),
        _results(fake),
        _features(fake),
        key=lambda each: each[0],
    ):
        data = serialize_message(message)
        writer.write(topic, TOPICS[topic], round(stamp * 1e9), data)
    writer.close()
    return folder


def _frames(fake: FakeRecording) -> Iterator[tuple[float, str, Any]]:
    for each in fake.frames():
        image = convert.compressed_image(each.packet, each.clock_offset, each.view.lower())
        info = convert.frame_info(each.packet, each.clock_offset, image.header)
        yield each.received, FRAME_INFO, info
        yield each.received, IMAGES[each.view], image


def _states(fake: FakeRecording) -> Iterator[tuple[float, str, Any]]:
    for each in fake.states():
        yield each.received, ROBOT_STATE, convert.robot_state(each.packet, each.clock_offset, "b")


def _samples(fake: FakeRecording) -> Iterator[tuple[float, str, Any]]:
    for each in fake.samples():
        yield each.received, SAMPLES, convert.sensor_batch(each.packet, each.clock_offset, "s")


def _results(fake: FakeRecording) -> Iterator[tuple[float, str, Any]]:
    for result in fake.results():
        yield result["timestamp"] + 0.025, ACTIONS, _chunk(result)


def _chunk(result: Result) -> ActionChunk:
    stamps = result["view_timestamps"]
    return ActionChunk(
        header=convert.header(result["timestamp"]),
        chunk_id=result["chunk_id"],
        step_dt=result["step_dt"],
        horizon=8,
        action_dim=7,
        action_names=result["action_names"],
        actions=array("f", np.ravel(result["actions"]).tolist()),
        delta=array("f", np.ravel(result["delta"]).tolist()),
        inference_time=result["inference_time"],
        vl_update_id=result["vl_update_number"],
        instruction=result["instruction"],
        views=list(stamps),
        view_stamps=[convert.time_message(stamp) for stamp in stamps.values()],
        validity=ActionChunk.DEGRADED if result["validity"] == "DEGRADED" else ActionChunk.OK,
        valid_steps=result["valid_steps"],
        reasons=result["reasons"],
        features_age=result["features_age"],
    )


def _features(fake: FakeRecording) -> Iterator[tuple[float, str, Any]]:
    for each in fake.features():
        yield each.finished, FEATURES, _message(each)


def _message(each: Features) -> VLFeatures:
    return VLFeatures(
        header=convert.header(min(each.view_stamps.values())),
        update_id=each.update_id,
        instruction=each.instruction,
        model_id=each.model_id,
        views=list(each.view_stamps),
        view_stamps=[convert.time_message(stamp) for stamp in each.view_stamps.values()],
        started=convert.time_message(each.started),
        finished=convert.time_message(each.finished),
        shape=list(each.data.shape),
        data=array("f", each.data.tobytes()),
    )

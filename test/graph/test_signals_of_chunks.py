"""The signals that the action expert publishes after each chunk, for plots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from expert_topics import ANY_AGE, VL_TIME, Inputs, batch
from harness import Listener, running
from rclpy.node import Node

from vla_inference_ros.convert import time_message
from vla_inference_ros.core.wire import SENSOR_RATE
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.msg import ActionChunk, Signals
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox

BASE = float(int(time.time()) - 100)  # when what these tests send was acquired [Unix s]


@pytest.fixture
def inputs(listener: Listener) -> Iterator[Inputs]:
    """Those of an action expert that runs."""
    listener.wait_until_alone()  # not to send it to the node of the test before
    with running("action_expert", model="stub", stub_expert_ms=5.0, **ANY_AGE):
        inputs = Inputs(listener)
        inputs.features(1, stamp=BASE)
        inputs.samples(np.arange(65), BASE - 10)
        yield inputs


class Plotter:
    """Listens to both topics, and knows the middleware's number and time of each message."""

    def __init__(self, node: Node) -> None:
        self.chunks: dict[int, tuple[ActionChunk, dict[str, Any]]] = {}  # by chunk_id
        self.signals: dict[int, tuple[Signals, dict[str, Any]]] = {}
        self._chunks = Inbox[ActionChunk](node, ActionChunk, "/vla/actions", qos.ACTIONS)
        self._signals = Inbox[Signals](node, Signals, "/vla/signals", qos.SIGNALS)

    def take(self) -> None:
        for found, inbox in ((self.signals, self._signals), (self.chunks, self._chunks)):
            found.update({m.chunk_id: (m, info) for m, info in inbox.take_with_info()})


@pytest.fixture
def other_node(listener: Listener) -> Iterator[Node]:
    node = rclpy.create_node("plotter")
    yield node
    node.destroy_node()


def test_signals_are_only_published_while_somebody_listens(
    inputs: Inputs, other_node: Node, listener: Listener
) -> None:
    chunks = listener.listen(ActionChunk, "/vla/actions")
    listener.spin_until(lambda: chunks and chunks[-1].chunk_id > 10)
    before = chunks[-1].chunk_id
    plotter = Plotter(other_node)
    listener.spin_until(lambda: len(plotter.signals) > 2, repeat=plotter.take)
    numbers = [info["publication_sequence_number"] for _, info in plotter.signals.values()]
    ids = list(plotter.signals)
    assert 1 <= numbers[0] <= ids[0] - before  # none is of a chunk from before
    assert np.diff(numbers).tolist() == np.diff(ids).tolist() == [1] * (len(ids) - 1)


def test_the_signals_are_the_chunks(inputs: Inputs, other_node: Node, listener: Listener) -> None:
    plotter = Plotter(other_node)
    samples = batch(np.arange(80), BASE)
    last = time_message(BASE + 79 / SENSOR_RATE)
    inputs.robot(BASE + 0.75, force=3.0)
    listener.deliver(samples, "/sensor/samples")
    inputs.features(8, stamp=BASE + 0.5)

    def pairs() -> list[tuple[tuple[ActionChunk, Any], tuple[Signals, Any]]]:
        plotter.take()
        return [
            (plotter.chunks[number], signals)
            for number, signals in plotter.signals.items()
            if number in plotter.chunks
            and (chunk := plotter.chunks[number][0]).vl_update_id == 8
            and chunk.robot_state.force == 3.0
            and chunk.sensor_last_stamp == last
        ]

    listener.spin_until(lambda: len(pairs()) > 2)
    window = np.array(samples.force[-65:])
    for (chunk, when), (signals, later) in pairs():
        assert when["source_timestamp"] < later["source_timestamp"]
        assert signals.header == chunk.header
        for name in ("validity", "valid_steps", "vl_update_id", "vl_reuse_index"):
            assert getattr(signals, name) == getattr(chunk, name)
        for name in ("sensor_samples", "sensor_missing", "features_age", "sensor_age", "robot_age"):
            assert getattr(signals, name) == getattr(chunk, name)
        actions = [getattr(signals, f"action_{name}") for name in ACTION_NAMES]
        assert actions == list(chunk.actions[: chunk.action_dim])
        assert signals.action_time == pytest.approx(chunk.inference_time, abs=1e-6)
        assert signals.robot_force == 3.0
        assert [signals.force, signals.force_min, signals.force_max] == [
            *(window[-1], window.min(), window.max()),
        ]
        assert signals.vl_time == pytest.approx(VL_TIME, abs=1e-6)
        for view in VIEWS:
            age = getattr(signals, f"{view.lower()}_age")
            assert age == pytest.approx(chunk.features_age, abs=1e-6)

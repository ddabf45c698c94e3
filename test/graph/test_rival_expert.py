"""An action expert beside another one that publishes: it puts no chunk next to that one's."""

from __future__ import annotations

import time

import numpy as np
from expert_topics import ANY_AGE, Inputs
from harness import Listener, running

from vla_inference_ros.core.wire import SENSOR_RATE
from vla_inference_ros.msg import ActionChunk

RIVAL = 4711  # its source id


def test_no_chunk_comes_beside_a_rivals(listener: Listener) -> None:
    inputs = Inputs(listener)
    chunks = listener.listen(ActionChunk, "/vla/actions")
    rival = listener.publisher(ActionChunk, "/vla/actions")
    numbers = iter(range(1, 10**6))

    def feed() -> None:
        """All that a chunk takes, and a rival's chunk."""
        now = time.time()
        inputs.features(next(numbers), stamp=now)
        inputs.samples(np.arange(-64, 1), now)
        inputs.robot(now, 1.0)
        rival.publish(ActionChunk(source_id=RIVAL))

    def own() -> list[ActionChunk]:
        return [chunk for chunk in chunks if chunk.source_id != RIVAL]

    with running("action_expert", model="stub", stub_expert_ms=1.0, **ANY_AGE):
        said = "/vla/actions has more than one publisher"
        listener.report("action_expert", "action_expert", lambda r: said in r.hold, feed)
        assert not own()
        ended = time.time()
        listener.spin_until(own, lambda: _feed_alone(inputs, next(numbers)))
        assert time.time() - ended < 10.0


def _feed_alone(inputs: Inputs, number: int) -> None:
    now = time.time()
    inputs.features(number, stamp=now)
    inputs.samples(np.arange(-64, 1), now - 1 / SENSOR_RATE)
    inputs.robot(now, 1.0)

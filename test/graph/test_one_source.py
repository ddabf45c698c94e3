"""A second sender for a stream of a graph that runs: refused, counted and named, and nothing of it
is used.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import zmq
from dated_cameras import dated_jpeg
from harness import LATCHED, Listener, problems
from repeating import repeating
from restarting import Graph
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE, SensorDatagram
from vla_inference_ros.msg import ActionChunk, InferenceStatus, SensorBatch
from vla_inference_ros.nodes.one_sender import SECOND_SOURCE

NAMED, CLEARED = 1.0, 3.0  # within which the verdict names a second sender, and is OK again [s]
MACHINE = 1.0  # that a busy machine may add to both: times are a benchmark's matter [s]
STAYS = 3.0  # how long the second sender sends [s]
FOREIGN_FORCE = -77.0
RIGS_CAMERA = "zed_41182735_left"


@pytest.fixture(scope="module")
def graph(listener: Listener) -> Iterator[Graph]:
    """A graph whose chunks are OK."""
    chunks = listener.listen(ActionChunk, "/vla/actions")
    with Graph() as graph:
        listener.spin_until(lambda: len([c for c in chunks if c.validity == ActionChunk.OK]) > 10)
        yield graph


def check_named(
    listener: Listener, stream: str, name: str, send: Callable[[], object], period: float
) -> None:
    """The verdict names the second sender soon, and is soon OK when it has gone."""
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    chunks = listener.listen(ActionChunk, "/vla/actions")
    trouble = f"{stream}: {name}"

    def named() -> list[float]:
        return [
            seconds(status.header.stamp)
            for status in statuses
            if any(t.startswith(trouble) and "sends as well" in t for t in status.troubles)
        ]

    began = time.time()
    with repeating(send, period):
        listener.spin_until(named)
        assert named()[0] - began < NAMED + MACHINE
        listener.spin_for(STAYS)
    ended = time.time()
    listener.spin_until(
        lambda: statuses[-1].state == InferenceStatus.OK and not statuses[-1].troubles
    )
    assert time.time() - ended < CLEARED + MACHINE
    assert all(c.sensor_span == pytest.approx(64 / SENSOR_RATE, abs=0.007) for c in chunks)


@pytest.mark.parametrize("ahead", [-0.05, 3600.0])
def test_a_second_sensor(ahead: float, graph: Graph, listener: Listener) -> None:
    batches = listener.listen(SensorBatch, "/sensor/samples")
    force = np.full(15, FOREIGN_FORCE, np.float32)
    ascan = np.zeros((15, ASCAN_LENGTH), np.float32)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("127.0.0.1", graph.ports["sensor_bridge"]))

        def send() -> None:
            now = time.time() + ahead
            times = now - np.arange(15)[::-1] / SENSOR_RATE
            udp.send(SensorDatagram(times, np.full(15, now), force, ascan).pack())

        name = f"127.0.0.1:{udp.getsockname()[1]}"
        check_named(listener, "sensor", name, send, 15 / SENSOR_RATE)
    assert batches
    assert not any(FOREIGN_FORCE in batch.force for batch in batches)
    report = listener.report("sensor_bridge", "sensor")
    assert problems(report)[SECOND_SOURCE] > 10
    assert report.clock_steps == 0


@pytest.mark.parametrize("camera", ["usb_41182735_left", RIGS_CAMERA])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9"])
def test_a_second_camera_of_a_view(
    camera: str, address: str, graph: Graph, listener: Listener
) -> None:
    """By another name, or by the same one from another host or program."""
    images = listener.listen(CompressedImage, "/camera/view1/image_raw/compressed")
    foreign = dated_jpeg(0.0)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.set(zmq.LINGER, 0)
        push.connect(f"tcp://{address}:0;127.0.0.1:{graph.ports['camera_bridge']}")

        def send() -> None:
            now = time.time() + 3.0
            header = {"camera": camera, "timestamp": now, "send_time": now}
            push.send_multipart([json.dumps(header).encode(), foreign])

        check_named(listener, "View1", f"camera '{camera}' at {address}:", send, 0.03)
    assert images
    assert not any(image.data.tobytes() == foreign for image in images)
    assert problems(listener.report("camera_bridge", "View1"))[SECOND_SOURCE] > 10


def test_a_sensor_that_is_restarted_is_taken_again(graph: Graph, listener: Listener) -> None:
    graph.kill(["sim_sensor"])
    graph.start(["sim_sensor"])
    batches = listener.listen(SensorBatch, "/sensor/samples")
    started = time.time()
    listener.spin_until(lambda: batches and seconds(batches[-1].header.stamp) > started)
    assert batches[-1].clock_uncertainty >= 0.0  # the host's clock is still known

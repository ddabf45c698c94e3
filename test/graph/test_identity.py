"""Whose the inputs are: strangers beside the nodes of the graph, all on real sockets and topics."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from harness import LATCHED, Listener, NodeProcess
from restarting import Graph
from sensor_msgs.msg import CompressedImage

from vla_inference_ros.convert import seconds, time_message
from vla_inference_ros.msg import (
    ActionChunk,
    InferenceStatus,
    RobotState,
    SensorBatch,
    StreamReport,
    VLFeatures,
)

SHOWN, RECOVERY = 1.0, 3.0  # within which a verdict names a fault, and is over it [s]
KNOWN = 1.0  # within which nodes know each other, as often as they announce themselves [s]
STRANGER = 7  # source_id of what the test publishes
FORGED: set[tuple[int, int]] = set()  # the stamps of what it publishes
PERIOD = 0.05  # [s]
PICTURES = "/camera/view5/image_raw/compressed"


@dataclass(repr=False)  # of all messages it would take a failed test minutes
class Run:
    """The graph, and what is heard of it. ``last`` has the newest message of its own on a topic."""

    graph: Graph
    listener: Listener
    chunks: list[ActionChunk]
    statuses: list[InferenceStatus]
    topics: dict[str, list[Any]] = field(default_factory=dict)

    def last(self, topic: str) -> Any:
        """A copy of the newest message that the test has not published itself."""
        return copy.deepcopy(next(m for m in reversed(self.topics[topic]) if not is_forged(m)))

    def wait_until_ok(self) -> float:
        """Wait for an OK status from now on; when it was made [Unix s]."""
        begin = time.time()

        def found() -> list[float]:
            stamps = [(seconds(s.header.stamp), s.state) for s in self.statuses[-50:]]
            return [at for at, state in stamps if at > begin and state == InferenceStatus.OK]

        self.listener.spin_until(found, self.graph.check_alive)
        return found()[0]

    def held(self, begin: float, *names: str, repeat: Callable[[], None] | None = None) -> float:
        """From ``begin`` [Unix s] to the first HOLD whose reason has all the names [s]; ``repeat``
        is done until then.
        """

        def found() -> list[float]:
            return [
                at
                for status in self.statuses
                if (at := seconds(status.header.stamp)) >= begin
                and status.state == InferenceStatus.HOLD
                and all(name in status.reason for name in names)
            ]

        def go_on() -> None:
            self.graph.check_alive()
            if repeat is not None:
                repeat()

        self.listener.spin_until(found, go_on)
        return found()[0] - begin


def is_forged(message: Any) -> bool:
    return key(message.header.stamp) in FORGED


def key(stamp: Any) -> tuple[int, int]:
    return stamp.sec, stamp.nanosec


@pytest.fixture(scope="module")
def run(listener: Listener) -> Iterator[Run]:
    topics = {
        name: listener.listen(kind, name)
        for kind, name in (
            (VLFeatures, "/vla/features"),
            (SensorBatch, "/sensor/samples"),
            (RobotState, "/robot/state"),
            (StreamReport, "/vla/reports"),
            (CompressedImage, PICTURES),
        )
    }
    chunks = topics["/vla/actions"] = listener.listen(ActionChunk, "/vla/actions")
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    graph = Graph()
    try:
        yield Run(graph, listener, chunks, statuses, topics)
    finally:
        graph.clean_up()
        for node in graph.running.values():  # shown when a test fails
            print(f"--- {node.name}", *node.lines[-30:], sep="\n")


def marked(instant: float) -> Any:
    stamp = time_message(instant)
    FORGED.add(key(stamp))
    return stamp


def features(run: Run, number: int) -> VLFeatures:
    message = run.last("/vla/features")
    message.update_id, message.source_id = 10**6 + number, STRANGER
    message.header.stamp = marked(time.time() - 0.1)
    return message


def samples(run: Run, _: int) -> SensorBatch:
    message = run.last("/sensor/samples")
    shift = time.time() - seconds(message.header.stamp)
    message.stamps = [marked(seconds(stamp) + shift) for stamp in message.stamps]
    message.header.stamp, message.source_id = message.stamps[-1], STRANGER
    return message


def robot(run: Run, _: int) -> RobotState:
    message = run.last("/robot/state")
    message.header.stamp, message.source_id = marked(time.time()), STRANGER
    return message


def picture(run: Run, _: int) -> CompressedImage:
    message = run.last(PICTURES)
    message.header.stamp = marked(time.time())
    return message


def chunk(run: Run, _: int) -> ActionChunk:
    message = run.last("/vla/actions")
    message.header.stamp, message.source_id = marked(time.time()), STRANGER
    return message


def all_stamps(made: ActionChunk) -> list[Any]:
    return [
        made.features_stamp,
        made.sensor_first_stamp,
        made.sensor_last_stamp,
        made.robot_state.header.stamp,
        *made.view_stamps,
    ]


def is_of_stranger(made: ActionChunk) -> bool:
    return any(key(stamp) in FORGED for stamp in all_stamps(made))


@pytest.mark.parametrize("copies", [False, True], ids=["its_own_id", "copied_id"])
@pytest.mark.parametrize(
    ("topic", "node", "forge"),
    [
        ("/vla/features", "vlm", features),
        ("/sensor/samples", "sensor_bridge", samples),
        ("/robot/state", "robot_bridge", robot),
        (PICTURES, "camera_bridge", picture),
        ("/vla/actions", "action_expert", chunk),
    ],
)
def test_a_second_publisher_of_a_topic_is_refused_and_named(
    topic: str, node: str, forge: Callable[[Run, int], Any], copies: bool, run: Run, patience: float
) -> None:
    if copies and topic == PICTURES:
        pytest.skip("pictures have no source_id")
    run.wait_until_ok()
    publisher = run.listener.publisher(type(run.last(topic)), topic)
    run.listener.spin_until(lambda: publisher.get_subscription_count() > 1)
    heard, begin, numbers = len(run.chunks), time.time(), count()

    def speak() -> None:
        message = forge(run, next(numbers))
        if copies:
            message.source_id = run.last(topic).source_id
        publisher.publish(message)
        run.listener.spin_for(PERIOD)

    shown = run.held(begin, topic, node, "listener", repeat=speak)
    assert shown < SHOWN * patience
    known = time.time() + 0.2
    while time.time() < known + 0.7:
        speak()
    end = time.time()
    made = [each for each in run.chunks[heard:] if not is_forged(each)]
    assert not [each for each in made if is_of_stranger(each)]
    if topic != "/vla/actions":
        held = [each for each in made if known < seconds(each.header.stamp) < end]
        assert not held
    assert run.wait_until_ok() - end < RECOVERY * patience


def test_chunks_of_the_run_that_are_played_again_beside_it_are_named(
    run: Run, patience: float
) -> None:
    """As ros2 bag play of a recording of the run does: unchanged, with all that they bear."""
    run.wait_until_ok()
    heard = len(run.chunks)
    run.listener.spin_until(lambda: len(run.chunks) > heard + 30)
    recorded = iter(copy.deepcopy([each for each in run.chunks[heard:] if not is_forged(each)]))
    publisher = run.listener.publisher(ActionChunk, "/vla/actions")
    run.listener.spin_until(lambda: publisher.get_subscription_count() > 1)
    begin = time.time()

    def play() -> None:
        publisher.publish(next(recorded))
        run.listener.spin_for(PERIOD)

    shown = run.held(begin, "/vla/actions", "action_expert", "listener", repeat=play)
    assert shown < SHOWN * patience
    count, known = len(run.statuses), time.time()
    while time.time() < known + 0.5:
        play()
    end = time.time()
    meanwhile = [s for s in run.statuses[count:] if seconds(s.header.stamp) < end]
    assert {s.state for s in meanwhile} <= {InferenceStatus.HOLD}
    assert run.wait_until_ok() - end < RECOVERY * patience


@contextmanager
def second(run: Run, name: str) -> Iterator[float]:
    """A second node of this name; when it first spoke [Unix s]."""
    reports = run.topics["/vla/reports"]
    known = {each.source_id for each in reports if each.node == name}
    node = NodeProcess(name, run.graph.parameters[name])

    def spoke() -> list[float]:
        return [
            seconds(each.header.stamp)
            for each in reports
            if each.node == name and each.source_id not in known and not each.inactive
        ]

    try:
        run.listener.spin_until(spoke, run.graph.check_alive)
        yield spoke()[0]
    finally:
        node.stop()


@pytest.mark.parametrize("name", ["vlm", "action_expert"])
def test_a_second_graph_in_the_domain_is_named(name: str, run: Run, patience: float) -> None:
    run.wait_until_ok()
    with second(run, name) as begin:
        assert run.held(begin, name) < (KNOWN + SHOWN) * patience
        # The second one knows of the first from its report on, and of its chunks by discovery.
        run.listener.spin_for(KNOWN * patience)
        heard = len(run.chunks)
        run.listener.spin_for(1.5)
        assert not run.chunks[heard:]
    end = time.time()
    assert run.wait_until_ok() - end < RECOVERY * patience


def test_a_verdict_is_not_lifted_by_another_ones_chunks_and_reports(run: Run) -> None:
    run.wait_until_ok()
    run.graph.kill(["sim_sensor", "sim_camera", "sim_robot"])
    begin = time.time()
    run.held(begin, "sensor")
    chunks = run.listener.publisher(ActionChunk, "/vla/actions")
    reports = run.listener.publisher(StreamReport, "/vla/reports")
    before = len(run.statuses)
    for number in range(20):
        chunks.publish(chunk(run, number))
        for name in ("action_expert", "inventor"):
            report = StreamReport(node=name, stream=name, source_id=STRANGER, ready=True)
            report.header.stamp = marked(time.time())
            reports.publish(report)
        run.listener.spin_for(0.1)
    states = {status.state for status in run.statuses[before:]}
    assert states == {InferenceStatus.HOLD}
    run.graph.start(["sim_sensor", "sim_camera", "sim_robot"])
    run.wait_until_ok()

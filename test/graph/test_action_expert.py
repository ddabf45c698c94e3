from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest
from expert_topics import ANY_AGE, FEATURES_SHAPE, Inputs, batch
from harness import Listener, NodeProcess, Parameter, SimulatedTime, failed_start, problems, running

from vla_inference_ros.convert import seconds, time_message
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.model.interface import ACTION_NAMES, VIEWS
from vla_inference_ros.msg import ActionChunk, RobotState, SensorBatch, StreamReport

REUSE = 4
PERIOD = 0.1  # [s]
BASE = float(int(time.time()) - 100)  # when what these tests send was acquired [Unix s]


def expert(**parameters: Parameter) -> AbstractContextManager[NodeProcess]:
    given: dict[str, Parameter] = {"model": "stub", "stub_expert_ms": 5.0, "vl_reuse": REUSE}
    return running("action_expert", **given | ANY_AGE | parameters)


@pytest.fixture
def inputs(listener: Listener) -> Inputs:
    return Inputs(listener)


# First those that start a node of their own: the others share one, which then stays.


def test_it_says_what_it_waits_for_until_half_a_window_is_there(
    inputs: Inputs, listener: Listener
) -> None:
    chunks = listener.listen(ActionChunk, "/vla/actions")
    with expert() as node:
        node.wait_until_said(
            "[WAIT] VL Features: False | Images: False (0/5) | Sensor: False (0/65)"
        )
        for view in VIEWS:
            listener.deliver(StreamReport(node="vlm", stream=view, ready=True), "/vla/reports")
        inputs.features(1, stamp=BASE)
        inputs.samples(np.arange(32), BASE)
        node.wait_until_said(
            "[WAIT] VL Features: True | Images: True (5/5) | Sensor: False (32/65)"
        )
        report = listener.report("action_expert", "action_expert")
        assert (report.ready, report.fill, report.capacity) == (False, 32, 65)
        assert not chunks
        inputs.samples(np.arange(32, 33), BASE)
        listener.spin_until(lambda: chunks)
        report = listener.report("action_expert", "action_expert", lambda r: r.accepted > 0)
        assert (report.ready, report.fill) == (True, 33)
    first = chunks[0]
    assert (first.chunk_id, first.vl_reuse_index) == (1, 1)
    assert (first.sensor_samples, first.sensor_missing) == (33, 32)
    assert first.validity == ActionChunk.DEGRADED
    assert list(first.reasons) == [
        "no robot state yet",
        "sensor window not full: 33/65 samples",
    ]
    assert (first.robot_state, first.robot_age) == (RobotState(), -1.0)
    assert first.valid_steps == 4


def test_stamps_follow_simulated_time(inputs: Inputs, listener: Listener) -> None:
    clock = SimulatedTime(listener)
    listener.wait_until_alone()
    with expert(use_sim_time=True, action_rate=8.0, allow_several_publishers=True) as node:
        # Once it ticks; what has come before it is active is forgotten.
        listener.spin_until(
            lambda: node.said("[WAIT]"), repeat=lambda: clock.say(clock.now + 0.125)
        )
        heard = listener.listen(ActionChunk, "/vla/actions")

        def stamps() -> list[float]:  # not of the node before, which knew the real time
            return [t for chunk in heard if (t := seconds(chunk.header.stamp)) < 2000.0]

        inputs.features(1, stamp=999.0)
        inputs.samples(np.arange(65), 999.0)
        listener.wait_until_delivered()  # before time goes on
        start = clock.now
        listener.spin_until(
            lambda: stamps()[-1:] == [start + 0.125], repeat=lambda: clock.say(start + 0.2)
        )
        assert heard[-1].step_dt == 0.125
        count = len(stamps())
        said: list[float] = []

        def jump() -> None:  # again and again: one who is busy meanwhile misses all of a jump
            said.append(start + 0.59375 + 0.40625 * len(said))
            clock.say(said[-1])

        listener.spin_until(lambda: len(stamps()) > count, repeat=jump)
        newest = {now // 0.125 * 0.125 for now in said}
        assert set(stamps()[count:]) <= newest  # and not 0.25 or 0.375, which are over
        node.wait_until_said("(missed tick: ")


def test_parameters_that_cannot_be_used_are_named() -> None:
    assert "checkpoint:=none.pt" in failed_start(
        "action_expert", model="stub", checkpoint="none.pt"
    )


# These share a node, whose newest features and samples are those of the test before.


@pytest.fixture(scope="module")
def node(listener: Listener) -> Iterator[NodeProcess]:
    listener.wait_until_alone()  # what the node before would be sent, this one would not have
    with expert() as node:
        node.wait_until_said("[WAIT]")  # it is active: what has come before is forgotten
        yield node


_starts = itertools.count(BASE - 1000, 10)


@pytest.fixture
def chunks(node: NodeProcess, inputs: Inputs, listener: Listener) -> list[ActionChunk]:
    """The chunks from a full window, update 1 and a robot state, all from well before BASE."""
    start = next(_starts)
    inputs.features(1, stamp=start)
    inputs.samples(np.arange(65), start)
    inputs.robot(start, force=1.0)
    chunks = listener.listen(ActionChunk, "/vla/actions")
    listener.spin_until(
        lambda: (
            chunks
            and seconds(chunks[-1].features_stamp) == start
            and seconds(chunks[-1].sensor_first_stamp) == start
            and seconds(chunks[-1].robot_state.header.stamp) == start
        )
    )
    return chunks


def test_a_chunk_says_all_that_it_was_made_of(
    chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    old = chunks[-1]
    inputs.robot(BASE + 0.75, force=3.0)
    inputs.samples(np.arange(80), BASE)
    inputs.features(7, stamp=BASE + 0.5, value=0.25)
    listener.spin_until(
        lambda: (
            chunks[-1].vl_update_id == 7
            and chunks[-1].robot_state.force == 3.0
            and chunks[-1].sensor_last_stamp == time_message(BASE + 79 / SENSOR_RATE)
        )
    )
    chunk = chunks[-1]
    assert chunk.features_stamp == time_message(BASE + 0.5)
    assert chunk.sensor_first_stamp == time_message(BASE + 15 / SENSOR_RATE)
    assert (chunk.sensor_samples, chunk.sensor_missing, chunk.sensor_window) == (65, 0, 65)
    assert chunk.robot_state.header.stamp == time_message(BASE + 0.75)
    assert chunk.vl_reuse_limit == REUSE
    assert "stub" in chunk.model_id
    assert chunk.step_dt == PERIOD
    assert (chunk.horizon, chunk.action_dim) == (8, 7)
    assert tuple(chunk.action_names) == ACTION_NAMES
    assert len(chunk.actions) == len(chunk.delta) == 8 * 7
    assert chunk.actions != old.actions  # other inputs, other actions
    assert chunk.inference_time >= 0.0049
    assert (chunk.validity, list(chunk.reasons), chunk.valid_steps) == (ActionChunk.OK, [], 8)
    assert list(chunk.views) == list(VIEWS)
    assert [seconds(stamp) for stamp in chunk.view_stamps] == [BASE + 0.5] * len(VIEWS)
    assert list(chunk.sensor_mask) == [1] * 65
    assert chunk.sensor_fill == "zero"
    stamp = seconds(chunk.header.stamp)
    assert chunk.features_age == pytest.approx(stamp - BASE - 0.5, abs=1e-6)
    assert chunk.sensor_age == pytest.approx(stamp - BASE - 79 / SENSOR_RATE, abs=1e-6)
    assert chunk.robot_age == pytest.approx(stamp - BASE - 0.75, abs=1e-6)
    ids = [each.chunk_id for each in chunks]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_the_uses_of_an_update_are_counted(
    chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    inputs.features(21, stamp=BASE)
    listener.spin_until(lambda: chunks[-1].vl_reuse_index == REUSE + 1)
    inputs.features(22, stamp=BASE)
    listener.spin_until(lambda: chunks[-1].vl_update_id == 22)
    uses = [chunk for chunk in chunks if chunk.vl_update_id == 21]
    assert [chunk.vl_reuse_index for chunk in uses] == list(range(1, len(uses) + 1))
    for chunk in (*uses[:REUSE], chunks[-1]):
        assert (chunk.validity, list(chunk.reasons)) == (ActionChunk.OK, [])
    assert uses[REUSE].validity == ActionChunk.DEGRADED
    assert list(uses[REUSE].reasons) == ["VLM late: features used 5 times, planned 4"]
    assert chunks[-1].vl_reuse_index == 1


def test_gaps_between_samples_are_counted(
    chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    slots = np.arange(69)
    slots = slots[~np.isin(slots, [20, 21, 22, 40])]
    inputs.samples(slots, BASE)
    inputs.features(31, stamp=BASE)
    listener.spin_until(
        lambda: (
            chunks[-1].vl_update_id == 31
            and chunks[-1].sensor_last_stamp == time_message(BASE + 68 / SENSOR_RATE)
        )
    )
    chunk = chunks[-1]
    assert (chunk.sensor_samples, chunk.sensor_missing, chunk.sensor_gaps) == (61, 4, 2)
    assert [row for row, there in enumerate(chunk.sensor_mask) if not there] == [16, 17, 18, 36]
    assert chunk.sensor_span == pytest.approx(64 / SENSOR_RATE, abs=1e-6)
    assert chunk.validity == ActionChunk.DEGRADED
    assert "sensor window not full: 61/65 samples" in list(chunk.reasons)


def test_chunks_are_for_the_ticks_of_the_monotonic_clock(
    chunks: list[ActionChunk], listener: Listener
) -> None:
    listener.spin_until(lambda: len(chunks) > 15)
    monotonic = time.monotonic() - time.time()
    stamps = np.array([seconds(chunk.header.stamp) for chunk in chunks])
    ticks = (stamps + monotonic) / PERIOD
    # The two clocks are not read at one instant, and anything may come between.
    assert np.median(np.abs(ticks - np.rint(ticks))) < 0.02
    assert (np.diff(np.rint(ticks)) >= 1).all()


def test_bad_features_are_counted_and_the_good_ones_stay(
    node: NodeProcess, chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    inputs.features(41, stamp=BASE)
    listener.spin_until(lambda: chunks[-1].vl_update_id == 41)
    before = problems(listener.report("action_expert", "action_expert"))

    def wait_for_counts(kind: str, count: int) -> None:
        listener.report(
            "action_expert",
            "action_expert",
            lambda report: problems(report).get(kind, 0) == before.get(kind, 0) + count,
        )

    shapes = [((1, 1, 1024), None), (FEATURES_SHAPE, 2047), ((2048,), None), ((2, 1, 2048), None)]
    shapes += [((1, 0, 2048), None)]
    for count, (shape, values) in enumerate(shapes, start=1):
        inputs.features(42, shape, values=values, stamp=BASE)
        wait_for_counts("features", count)
    inputs.features(42, value=float("nan"), stamp=BASE)
    wait_for_counts("features", len(shapes) + 1)
    count = len(chunks)
    listener.spin_until(lambda: len(chunks) > count + 2)
    assert {chunk.vl_update_id for chunk in chunks} == {1, 41}  # meanwhile all was well
    inputs.features(43, shape=(1, 3, 2048), stamp=BASE)  # as many tokens as it likes
    listener.spin_until(lambda: chunks[-1].vl_update_id == 43)
    assert 1 <= len(node.said("(features: ")) <= 3


def test_bad_samples_are_counted_and_nothing_good_beside_them_is_lost(
    node: NodeProcess, chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    before = problems(listener.report("action_expert", "action_expert")).get("sensor batch", 0)
    short = batch(np.arange(2), BASE + 1)
    short.force = short.force[:1]
    torn = batch(np.arange(2), BASE + 1)
    torn.ascan = torn.ascan[:-1]
    bad = [batch(np.arange(2), BASE + 1, length) for length in (0, 1024, 1026)]
    bad += [short, torn, SensorBatch(ascan_length=ASCAN_LENGTH)]
    for slot, message in enumerate(bad):
        for _ in range(5):
            listener.deliver(message, "/sensor/samples")
        inputs.samples(np.arange(20 * slot, 20 * (slot + 1)), BASE)
    report = listener.report(
        "action_expert",
        "action_expert",
        lambda report: problems(report).get("sensor batch", 0) == before + 5 * len(bad),
    )
    assert report.fill == 65
    last = time_message(BASE + (20 * len(bad) - 1) / SENSOR_RATE)
    listener.spin_until(lambda: chunks[-1].sensor_last_stamp == last)
    assert (chunks[-1].sensor_samples, chunks[-1].sensor_missing) == (65, 0)
    assert 1 <= len(node.said("(sensor batch: ")) <= 3


def test_no_actions_come_from_a_sample_that_is_no_number(
    chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    before = problems(listener.report("action_expert", "action_expert")).get("sensor batch", 0)
    for column in ("force", "ascan"):
        broken = batch(np.arange(10), BASE)
        getattr(broken, column)[5] = float("nan")
        listener.deliver(broken, "/sensor/samples")
    listener.report(
        "action_expert",
        "action_expert",
        lambda report: problems(report).get("sensor batch", 0) == before + 2,
    )
    inputs.samples(np.arange(10, 75), BASE)
    listener.spin_until(
        lambda: chunks[-1].sensor_first_stamp == time_message(BASE + 10 / SENSOR_RATE)
    )
    assert all(np.isfinite(chunk.actions).all() for chunk in chunks)


def test_actions_that_are_no_numbers_are_not_sent(
    chunks: list[ActionChunk], inputs: Inputs, listener: Listener
) -> None:
    inputs.features(51, value=3e38, stamp=BASE)  # finite, but more than the model can add up
    listener.report(
        "action_expert", "action_expert", lambda report: problems(report).get("not finite", 0) > 0
    )
    count = len(chunks)
    inputs.features(52, stamp=BASE)
    listener.spin_until(lambda: len(chunks) > count)
    assert chunks[-1].vl_update_id == 52
    assert all(np.isfinite(chunk.actions).all() for chunk in chunks)

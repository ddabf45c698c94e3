"""What the action expert does with inputs that grow old, with its own default limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from expert_topics import Inputs
from harness import LATCHED, Listener, NodeProcess, Parameter, SimulatedTime, failed_start, running

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.core.wire import SENSOR_RATE
from vla_inference_ros.msg import ActionChunk, InferenceStatus, RobotState, StreamReport

REUSE = 4


@dataclass
class Feed:
    """Keeps the expert supplied; a stream that is ``stopped`` sends nothing more."""

    inputs: Inputs
    stopped: set[str] = field(default_factory=set)
    update_id: int = 0
    learnt: bool = True
    robot_learnt: bool = True
    model_id: str = "weights 1"
    _last_sample: float = field(default_factory=lambda: time.time() - 0.1)
    _last_update: float = 0.0

    def __call__(self) -> None:
        now = time.time()
        if "sensor" not in self.stopped:
            count = int((now - self._last_sample) * SENSOR_RATE)
            slots = np.arange(1, count + 1)
            if count:
                self.inputs.samples(slots, self._last_sample, learnt=self.learnt)
            self._last_sample += count / SENSOR_RATE
        if "robot" not in self.stopped:
            self.inputs.robot(now, force=1.0, learnt=self.robot_learnt)
        if "features" not in self.stopped and now - self._last_update > 0.35:
            self.update_id += 1
            self._last_update = now
            self.inputs.features(self.update_id, stamp=now - 0.1, model_id=self.model_id)

    def resume(self) -> None:
        """Everything comes again, from now on."""
        self.stopped.clear()
        self._last_sample = time.time() - 0.1


@contextmanager
def fed(listener: Listener, **parameters: Parameter) -> Iterator[tuple[Feed, list[ActionChunk]]]:
    """An expert that gives good chunks, and a monitor."""
    chunks = listener.listen(ActionChunk, "/vla/actions")
    feed = Feed(Inputs(listener))
    given: dict[str, Parameter] = {"model": "stub", "stub_expert_ms": 5.0, "vl_reuse": REUSE}
    with running("action_expert", **given | parameters):
        listener.spin_until(lambda: chunks and chunks[-1].validity == ActionChunk.OK, repeat=feed)
        del chunks[:-1]  # those of nodes before
        yield feed, chunks


def expert_report(
    listener: Listener, feed: Feed, condition: Callable[[StreamReport], bool]
) -> StreamReport:
    return listener.report("action_expert", "action_expert", condition, repeat=feed)


def held(listener: Listener, feed: Feed, why: str) -> StreamReport:
    """The report of an expert that holds chunks back for this reason."""
    return expert_report(listener, feed, lambda report: why in report.hold)


@pytest.mark.parametrize(
    ("stream", "complaint", "soft", "hard"),
    [
        ("sensor", "the newest sensor sample is", 0.1, 0.3),
        ("features", "features are", 1.0, 2.0),
    ],
)
def test_chunks_are_degraded_then_withheld_as_an_input_grows_old_and_come_back_by_themselves(
    stream: str, complaint: str, soft: float, hard: float, listener: Listener
) -> None:
    with fed(listener) as (feed, chunks):
        # Longer than the middleware takes to repair what it lost while the nodes met.
        listener.spin_until(lambda: len(chunks) > 35, repeat=feed)
        first = len(chunks)
        feed.stopped.add(stream)
        report = held(listener, feed, complaint)
        assert f"over the limit of {hard:g} s" in report.hold
        ages = {"sensor": "sensor_age", "features": "features_age"}
        for chunk in chunks[first:]:
            age = getattr(chunk, ages[stream])
            assert age <= hard
            if age > soft:
                assert chunk.validity == ActionChunk.DEGRADED
                assert any(complaint in reason for reason in chunk.reasons)
                assert 1 <= chunk.valid_steps <= 4
        last_age = getattr(chunks[-1], ages[stream])
        assert soft < last_age
        count = len(chunks)
        listener.spin_for(0.3)  # three ticks
        assert len(chunks) == count
        feed.resume()  # how soon they are OK again, bench/faults.py measures
        listener.spin_until(
            lambda: len(chunks) > count and chunks[-1].validity == ActionChunk.OK, repeat=feed
        )
        assert expert_report(listener, feed, lambda report: report.hold == "").ready


def test_a_robot_that_is_not_required_only_degrades(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        feed.stopped.add("robot")
        listener.spin_until(lambda: chunks[-1].robot_age > 0.6, repeat=feed)
        assert chunks[-1].validity == ActionChunk.DEGRADED
        assert "robot state is" in "; ".join(chunks[-1].reasons)


def test_a_robot_that_is_required_holds(listener: Listener) -> None:
    with fed(listener, robot_required=True) as (feed, chunks):
        feed.stopped.add("robot")
        held(listener, feed, "robot state is")
        assert all(chunk.robot_age <= 0.5 for chunk in chunks)


def test_a_sensor_clock_that_is_being_learnt_holds(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        feed.learnt = False
        held(listener, feed, "clock is still being learnt")
        feed.learnt = True
        count = len(chunks)
        listener.spin_until(lambda: len(chunks) > count, repeat=feed)


def test_no_chunk_names_a_robot_state_by_a_clock_that_is_being_learnt(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        feed.robot_learnt = False
        listener.spin_until(lambda: "robot state is" in "; ".join(chunks[-1].reasons), repeat=feed)
        last = chunks[-1].robot_state
        listener.spin_for(0.2)
        feed()
        listener.spin_until(lambda: chunks[-1].robot_age > 0.3, repeat=feed)
        assert chunks[-1].robot_state == last
        feed.robot_learnt = True
        listener.spin_until(lambda: chunks[-1].validity == ActionChunk.OK, repeat=feed)


def test_what_holds_the_vlm_holds_the_expert_at_once(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        why = "image of View3 is 1.20 s old, over the limit of 1 s"
        feed.stopped.add("features")
        listener.deliver(StreamReport(node="vlm", stream="vlm", hold=why), "/vla/reports")
        assert held(listener, feed, "VLM").hold == f"VLM: {why}"
        assert chunks[-1].features_age < 1.0  # long before the features themselves are too old
        feed.resume()
        listener.deliver(StreamReport(node="vlm", stream="vlm"), "/vla/reports")
        count = len(chunks)
        listener.spin_until(lambda: len(chunks) > count, repeat=feed)


def test_other_weights_of_the_vlm_hold_until_the_first_ones_are_back(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        feed.model_id = "weights 2"
        report = held(listener, feed, "what features are of has changed")
        assert "the model from weights 1 to weights 2" in report.hold
        assert {chunk.features_model_id for chunk in chunks} == {"weights 1"}
        feed.model_id = "weights 1"
        count = len(chunks)
        listener.spin_until(lambda: len(chunks) > count, repeat=feed)


def test_or_are_a_reason_if_that_is_wanted(listener: Listener) -> None:
    with fed(listener, changed_features="degrade") as (feed, chunks):
        feed.model_id = "weights 2"
        listener.spin_until(lambda: chunks[-1].features_model_id == "weights 2", repeat=feed)
        assert chunks[-1].validity == ActionChunk.DEGRADED
        assert "to weights 2" in "; ".join(chunks[-1].reasons)


def test_several_publishers_may_be_allowed(listener: Listener) -> None:
    with fed(listener, allow_several_publishers=True) as (feed, chunks):

        def also_feed_a_robot() -> None:
            feed()
            state = RobotState(header=header(time.time()), force=-77.0, source_id=7)
            listener.deliver(state, "/robot/state")

        listener.spin_until(
            lambda: chunks[-1].robot_state.force == -77.0 and chunks[-1].validity == ActionChunk.OK,
            repeat=also_feed_a_robot,
        )


def test_a_restarted_vlm_counts_from_one_and_so_do_the_uses(listener: Listener) -> None:
    with fed(listener) as (feed, chunks):
        listener.spin_until(lambda: chunks[-1].vl_reuse_index == 2, repeat=feed)
        feed.stopped.add("features")
        update_id = chunks[-1].vl_update_id
        count = len(chunks)
        # The same number, another update.
        feed.inputs.features(update_id, stamp=time.time(), model_id=feed.model_id)
        listener.spin_until(lambda: len(chunks) > count + 1, repeat=feed)
        uses = [chunk.vl_reuse_index for chunk in chunks[count:]]
        assert 1 in uses


def test_the_monitor_tells_of_a_hold_at_once_with_its_reason(listener: Listener) -> None:
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    with running("monitor", status_period=3600.0), fed(listener) as (feed, _):
        listener.spin_until(
            lambda: statuses and statuses[-1].state == InferenceStatus.OK, repeat=feed
        )
        feed.stopped.add("sensor")
        listener.spin_until(lambda: statuses[-1].state == InferenceStatus.HOLD, repeat=feed)
        assert "the newest sensor sample is" in statuses[-1].reason
        feed.resume()
        listener.spin_until(lambda: statuses[-1].state == InferenceStatus.OK, repeat=feed)


def test_ages_go_by_simulated_time(listener: Listener) -> None:
    clock, inputs = SimulatedTime(listener), Inputs(listener)
    chunks = listener.listen(ActionChunk, "/vla/actions")
    listener.wait_until_alone()

    def play() -> None:  # as a bag is played
        clock.say(clock.now + 0.05)
        inputs.features(1, stamp=clock.now)
        inputs.samples(np.arange(33), clock.now - 33 / SENSOR_RATE)
        inputs.robot(clock.now, force=1.0)

    with running("action_expert", model="stub", stub_expert_ms=1.0, use_sim_time=True):
        listener.spin_until(
            lambda: chunks and seconds(chunks[-1].header.stamp) < 2000.0, repeat=play
        )
        assert abs(chunks[-1].sensor_age) < 0.3
        listener.spin_for(1.0)  # real time, in which nothing grows older
        paused_at = clock.now
        report = listener.report(
            "action_expert",
            "action_expert",
            lambda report: (
                seconds(report.header.stamp) < 2000.0 and "newest sensor sample is" in report.hold
            ),
            repeat=lambda: clock.say(clock.now + 0.05),
        )
        assert seconds(report.header.stamp) == pytest.approx(paused_at + 0.4, abs=0.35)


def test_a_step_that_outlasts_its_inputs_is_not_sent(listener: Listener) -> None:
    chunks = listener.listen(ActionChunk, "/vla/actions")
    feed = Feed(Inputs(listener))
    with running("action_expert", model="stub", stub_expert_ms=400.0) as node:
        listener.spin_until(lambda: node.said("the step took so long that meanwhile"), repeat=feed)
        report = expert_report(listener, feed, lambda report: "late step" in report.problem_kinds)
        assert report.accepted == 0
    assert not [chunk for chunk in chunks if chunk.inference_time > 0.3]


def test_limits_that_contradict_each_other_are_named() -> None:
    line = failed_start("action_expert", model="stub", sensor_age_soft=0.5)
    assert "'sensor_age_soft' is 0.5, more than 'sensor_age_hard', 0.3" in line


def test_a_cpu_list_that_is_none_is_named() -> None:
    assert "'cpu_affinity'" in failed_start("action_expert", model="stub", cpu_affinity="all")


def test_a_node_keeps_to_its_cpus(listener: Listener) -> None:
    with running("action_expert", model="stub", cpu_affinity="0", realtime_priority=0) as node:

        def cpus() -> str:
            status = Path(f"/proc/{node.process.pid}/status").read_text(encoding="utf-8")
            return status.split("Cpus_allowed_list:")[1].split()[0]

        listener.spin_until(lambda: cpus() == "0")


def policies(node: NodeProcess) -> set[int]:
    """How the kernel schedules a node's threads."""
    threads = Path(f"/proc/{node.process.pid}/task").iterdir()
    return {os.sched_getscheduler(int(t.name)) & ~os.SCHED_RESET_ON_FORK for t in threads}


@pytest.mark.parametrize(
    ("name", "priority", "parameters"),
    [
        ("action_expert", 10, {"model": "stub"}),
        ("vlm", 5, {"model": "stub"}),
        ("robot_bridge", 5, {}),
    ],
)
def test_all_threads_go_first_where_that_is_allowed(
    name: str, priority: int, parameters: dict[str, Parameter], listener: Listener
) -> None:
    with running(name, **parameters) as node:
        refused = f"parameter 'realtime_priority' is {priority}, which the system refuses"
        listener.spin_until(lambda: policies(node) == {os.SCHED_FIFO} or node.said(refused))


def test_a_vlm_that_computes_on_the_cpu_does_not_go_first(listener: Listener) -> None:
    with running("vlm", model="tiny", device="cpu") as node:
        listener.report("vlm", "vlm")
        node.wait_until_said("[vlm]: tiny")
        assert policies(node) == {os.SCHED_OTHER}
        assert not node.said("realtime_priority")


def test_a_cpu_that_is_not_there_is_told_of_and_the_node_goes_on(listener: Listener) -> None:
    with running("action_expert", model="stub", cpu_affinity="4000") as node:
        node.wait_until_said("parameter 'cpu_affinity' is '4000', which the system refuses")
        node.wait_until_said("[WAIT]")

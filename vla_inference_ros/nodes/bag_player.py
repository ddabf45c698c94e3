"""Bag player node: the inputs of a bag or a run folder, at their recorded times, with /clock.

It waits until those that infer from them are ready, and ends when all has been played.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped]

from vla_inference_ros.core.recorded_time import RecordedTime
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.audience import Audience
from vla_inference_ros.nodes.dds_profile import LARGE_SEGMENT
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run
from vla_inference_ros.recording.definitions import message_class
from vla_inference_ros.recording.inputs import Input, inputs
from vla_inference_ros.recording.opening import open_recording
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.recording.topics import (
    IMAGES,
    INPUTS,
    LATCHED,
    ROBOT_STATE,
    SAMPLES,
    TOPICS,
)

MANAGED = ("vlm", "action_expert")
CLOCK = "/clock"
# As all that follow the clock read it; what is lost is said again soon.
_CLOCK_PROFILE = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
# Who should listen to what.
_EXPECTED = {
    **dict.fromkeys(IMAGES.values(), ("vlm",)),
    **dict.fromkeys((ROBOT_STATE, SAMPLES), ("action_expert",)),
    CLOCK: MANAGED,
}
_AHEAD = 500_000_000  # of the first message, time begins [ns]
_LAST_MOMENT = 1.0  # for what was inferred from the last message [s]
# Until the last messages must have arrived everywhere, of which who sends asks every 3 s, or as its
# profile says [s].
_LAST_ARRIVALS = 10.0
_ARRIVALS_LOOK = Duration(seconds=0.1)  # how often it is looked whether to stop meanwhile
_LOOK_PERIOD = 0.1  # between two looks whether all are ready [s]
_SAY_PERIOD = 10.0  # between two lines that tell what it waits for [s]
_PATIENCE = 10.0  # with those that do not listen when vlm and action_expert are active [s]
_LATE = 0.1  # worth a warning [s]


@dataclass(frozen=True, slots=True)
class BagPlayerConfig:
    """Parameters of the bag player."""

    bag: str = parameter("", "bag or run folder, whose inputs are played")
    rate: float = parameter(
        1.0, "how many times as fast as it was recorded", minimum=0.01, maximum=100.0
    )
    clock_rate: float = parameter(
        100.0, "how often the time is published [Hz]", minimum=1.0, maximum=1000.0
    )
    wait_limit: float = parameter(
        600.0,
        "how long vlm and action_expert may take to be active [s]",
        minimum=1.0,
        maximum=86_400.0,
    )
    strict: bool = parameter(False, "end at what is else left out as odd")
    plays: bool = parameter(True, "false only waits, and ends when another player may begin")


class NotReadyError(Exception):
    """Those that a recording is to be played to did not become ready."""


class BagPlayer(VlaNode[BagPlayerConfig]):
    """Publishes what the bridges published when the recording was made."""

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("bag_player", BagPlayerConfig, **node_arguments)
        self._outlets: dict[str, Any] = {}
        self._start = 0
        self._inputs: Iterator[Input] = iter(())
        self._period = 1.0 / self.config.clock_rate
        self._next_tick = 0.0
        self._played: Counter[str] = Counter()
        if self.config.plays:
            self._start, self._inputs = self._open()
            for topic in INPUTS:
                kind = message_class(TOPICS[topic])
                self._outlets[topic] = self.create_publisher(kind, topic, qos.recorded(topic))
            self._outlets[CLOCK] = self.create_publisher(Clock, CLOCK, _CLOCK_PROFILE)
        self._audience = Audience(self, MANAGED, (*INPUTS, CLOCK), tuple(self._outlets))
        self.add_worker("player", self._work)

    def _open(self) -> tuple[int, Iterator[Input]]:
        """When the recording begins [ns since 1970], and the inputs. The first have been read
        already, so that most of what can be wrong with it is noticed.
        """
        given = self.config.bag
        if not given:
            raise StartError("parameter 'bag' is empty: name a bag or a run folder")
        first: list[Input] = []
        try:
            self._recording = open_recording(Path(given).expanduser(), self.config.strict)
            found = inputs(self._recording)
            for item in found:
                first.append(item)
                if item.topic not in LATCHED:  # that may have been published long before
                    break
        except RecordingError as error:
            raise StartError(f"parameter 'bag': {error}") from error
        if not first:
            raise StartError(f"parameter 'bag': {given} holds nothing of {', '.join(INPUTS)}")
        return first[-1].stamp, chain(first, found)

    def release(self) -> None:
        """Say what has been played."""
        if self.config.plays:
            counts = [
                f"{self._played[topic]} messages on {topic}"
                for topic in INPUTS
                if self._played[topic]
            ]
            self.get_logger().info("\n  ".join(["played", *(counts or ["nothing"])]))
            for line in self._recording.odd.lines():
                self.get_logger().warning(line)

    def _work(self, stopping: threading.Event) -> None:
        if self._wait_until_ready(stopping) and self._play(stopping):
            self.finished = True
        stopping.wait()

    # --- before

    def _wait_until_ready(self, stopping: threading.Event) -> bool:
        """False if it is to stop before."""
        start = said = time.monotonic()
        active_since: float | None = None
        while not stopping.wait(_LOOK_PERIOD):
            now = time.monotonic()
            is_gathered = self._audience.is_gathered()
            inactive = " and ".join(self._audience.inactive())
            if not inactive:
                active_since = active_since or now
                if self._may_begin(is_gathered, is_patient=now - active_since < _PATIENCE):
                    return True
            elif now - start > self.config.wait_limit:
                raise NotReadyError(f"{inactive} not active within {self.config.wait_limit:g} s")
            elif now - said > _SAY_PERIOD:
                said = now
                self.get_logger().info(f"waiting for {inactive} to be active")
        return False

    def _may_begin(self, is_gathered: bool, is_patient: bool) -> bool:
        """Whether all listen that should; what is missing is told once it waits no more."""
        if not self.count_publishers(CLOCK):  # the other player is not there yet
            return False
        missing = self._audience.missing(_EXPECTED)
        if is_gathered and not missing:
            return True
        if missing and not is_patient:
            self.get_logger().warning(f"beginning all the same, but {'; '.join(missing)}")
        return not is_patient

    # --- meanwhile

    def _play(self, stopping: threading.Event) -> bool:
        """False if it is to stop before all has been played."""
        if not self.config.plays:
            return True
        self.get_logger().info(f"playing {self.config.bag}, {self.config.rate:g} times as fast")
        newest, latest = self._start, 0.0
        clock = RecordedTime(newest - _AHEAD, self.config.rate, time.monotonic())
        for item in self._inputs:
            newest = max(newest, item.stamp)
            if not self._pass_time(clock, newest, stopping):
                return False
            self._outlets[item.topic].publish(item.message)
            self._played[item.topic] += 1
            latest = max(latest, time.monotonic() - clock.steady(newest))
        if latest > _LATE:
            self.get_logger().warning(
                f"messages were up to {latest:.2f} s late: is the machine, or the disk, too busy "
                f"for 'rate' {self.config.rate:g}?"
            )
        return self._give_last_moment(clock, newest, stopping)

    def _pass_time(self, clock: RecordedTime, until: int, stopping: threading.Event) -> bool:
        """Publish the time until it is ``until`` [ns]; False if it is to stop before."""
        due = clock.steady(until)
        while not stopping.is_set():
            steady = time.monotonic()
            if steady >= self._next_tick:
                self._publish_time(clock.now(steady, until))
                self._next_tick = steady + self._period
            if steady >= due:
                return True
            stopping.wait(min(due, self._next_tick) - steady)
        return False

    def _publish_time(self, now: int) -> None:
        second, nanosecond = divmod(now, 1_000_000_000)
        self._outlets[CLOCK].publish(Clock(clock=Time(sec=second, nanosec=nanosecond)))

    # --- at the end

    def _give_last_moment(self, clock: RecordedTime, end: int, stopping: threading.Event) -> bool:
        """Time stands, so that nothing is inferred from what has grown old. False if it is to stop
        before.
        """
        deadline = time.monotonic() + _LAST_MOMENT
        while time.monotonic() < deadline:
            self._publish_time(clock.now(time.monotonic(), end))
            if stopping.wait(self._period):
                return False
        deadline += _LAST_ARRIVALS
        for topic in INPUTS:
            while not self._outlets[topic].wait_for_all_acked(_ARRIVALS_LOOK):
                if stopping.is_set():
                    return False
                if time.monotonic() >= deadline:
                    self.get_logger().warning(f"not all of {topic} has arrived everywhere")
                    break
        return True


def main() -> int:
    """Run the node."""
    return run(BagPlayer, LARGE_SEGMENT)

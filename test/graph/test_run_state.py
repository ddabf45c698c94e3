"""What a run was told while it went on outlives the processes that were told; what it runs with
does not change unnoticed. All on the real graph.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import rclpy
from harness import LATCHED, Listener
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from restarting import Graph
from std_msgs.msg import String

from vla_inference_ros.convert import seconds
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import ActionChunk, InferenceStatus, VLFeatures

AWAY = 1.0  # of what was killed, as with respawn:=true [s]
SHOWN, RECOVERY = 1.0, 3.0  # within which a verdict names a fault, and is over it [s]


@dataclass
class Run:
    """The graph, and what is heard of it."""

    graph: Graph
    listener: Listener
    chunks: list[ActionChunk]
    statuses: list[InferenceStatus]
    features: list[VLFeatures]

    def wait_until_ok(self, begin: float | None = None) -> None:
        """Wait for an OK chunk for an instant from ``begin`` [Unix s] on, or from now on."""
        begin = time.time() if begin is None else begin
        self.listener.spin_until(lambda: self.good(begin), self.graph.check_alive)

    def good(self, begin: float) -> list[ActionChunk]:
        """The OK chunks for instants from then on."""
        return [
            each
            for each in self.chunks
            if each.validity == ActionChunk.OK and seconds(each.header.stamp) >= begin
        ]

    def wait_until_told(self, text: str) -> None:
        """Wait until a reason or a trouble of the status says so."""
        self.listener.spin_until(
            lambda: any(text in e for e in (self.statuses[-1].reason, *self.statuses[-1].troubles)),
            self.graph.check_alive,
        )

    def restart(self, *names: str) -> float:
        """Kill processes and start them again; when they were dead [Unix s]."""
        dead = self.graph.kill(names)
        self.listener.spin_for(AWAY)
        self.graph.start(names)
        return dead

    def change(self, node: str, *transitions: int) -> None:
        """Go through the managed life cycle."""
        for each in transitions:
            request = ChangeState.Request(transition=Transition(id=each))
            assert self.listener.call(ChangeState, f"/{node}/change_state", request).success

    def set_verbosity(self, node: str, value: str) -> None:
        """As ros2 param set does."""
        text = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
        given = [Parameter(name="verbosity", value=text)]
        request = SetParameters.Request(parameters=given)
        answer = self.listener.call(SetParameters, f"/{node}/set_parameters", request)
        assert answer.results[0].successful

    def say(self, instruction: str) -> None:
        """Once, by a publisher that keeps nothing for nodes that start later."""
        self.listener.deliver(String(data=instruction), "/vla/instruction")
        self.wait_until_used(instruction)
        self.wait_until_ok()

    def wait_until_used(self, instruction: str) -> None:
        """Wait for features by an instruction."""
        self.listener.spin_until(
            lambda: self.features and self.features[-1].instruction == instruction,
            self.graph.check_alive,
        )


@pytest.fixture(scope="module")
def run(listener: Listener) -> Iterator[Run]:
    chunks = listener.listen(ActionChunk, "/vla/actions")
    statuses = listener.listen(InferenceStatus, "/vla/status", LATCHED)
    features = listener.listen(VLFeatures, "/vla/features")
    graph = Graph()
    try:
        run = Run(graph, listener, chunks, statuses, features)
        run.wait_until_ok()
        yield run
    finally:
        graph.clean_up()
        for node in graph.running.values():  # shown when a test fails
            print(f"--- {node.name}", *node.lines[-30:], sep="\n")


@contextmanager
def keeping(message: Any, topic: str) -> Iterator[None]:
    """Somebody who keeps a message for nodes that start later."""
    node = rclpy.create_node("keeper")
    node.create_publisher(type(message), topic, LATCHED).publish(message)
    yield
    node.destroy_node()


@pytest.mark.parametrize(
    "victims",
    [("vlm",), ("action_expert", "vlm"), ("monitor", "vlm"), ("action_expert", "monitor")],
    ids=lambda victims: "_and_".join(victims),
)
def test_an_instruction_that_was_said_once_outlives_who_heard_it(
    victims: tuple[str, ...], run: Run
) -> None:
    instruction = f"Hold still {time.time()}"
    run.say(instruction)
    dead = run.restart(*victims)
    run.wait_until_ok(begin=dead + AWAY)
    run.listener.spin_for(1.0)
    assert {each.instruction for each in run.good(dead)} == {instruction}


def test_what_was_said_last_holds_and_not_what_somebody_keeps_for_later(run: Run) -> None:
    with keeping(String(data="Kept for later"), "/vla/instruction"):
        run.wait_until_used("Kept for later")
        run.say("Said last")
        dead = run.restart("vlm")
        run.wait_until_ok(begin=dead + AWAY)
        run.listener.spin_for(1.0)
    assert {each.instruction for each in run.good(dead)} == {"Said last"}


def test_the_life_cycle_keeps_it_too(run: Run) -> None:
    run.say("Through all its states")
    run.change(
        "vlm",
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    )
    begin = time.time()
    run.wait_until_ok()
    assert {each.instruction for each in run.good(begin)} == {"Through all its states"}


def test_a_parameter_that_was_lost_in_a_restart_is_named_until_it_is_set_again(run: Run) -> None:
    for node in ("robot_bridge", "monitor"):
        run.set_verbosity(node, "quiet")
    trouble = "parameter verbosity, which was set to quiet, was lost in a restart"
    run.listener.spin_for(0.5)
    for victim in ("monitor", "robot_bridge"):
        run.restart(victim)
        run.wait_until_told(f"{victim}: {trouble}")
    for node, value in (("robot_bridge", "quiet"), ("monitor", "normal")):
        run.set_verbosity(node, value)
    run.listener.spin_until(lambda: not any(trouble in each for each in run.statuses[-1].troubles))


def test_views_in_another_order_hold_until_the_expert_is_activated_again(
    run: Run, patience: float
) -> None:
    run.wait_until_ok()
    for views in (VIEWS[::-1], VIEWS):
        topics = [f"/camera/{view.lower()}/image_raw/compressed" for view in views]
        run.graph.parameters["vlm"] |= {"views": list(views), "compressed_topics": topics}
        dead = run.restart("vlm")
        run.wait_until_told(f"to {', '.join(views)}")

        def changed(views: tuple[str, ...] = views, dead: float = dead) -> list[float]:
            """When features with the changed views were ready."""
            found = [each for each in run.features if tuple(each.views) == views]
            return [ready for each in found if (ready := seconds(each.finished)) > dead]

        run.listener.spin_until(changed)  # the expert may know of the new VLM before
        begin = min(changed())
        assert run.statuses[-1].state == InferenceStatus.HOLD
        assert seconds(run.statuses[-1].header.stamp) - begin < SHOWN * patience
        run.listener.spin_for(0.5)
        assert not [each for each in run.good(dead) if tuple(each.views) == views]
        begin = time.time()
        run.change(
            "action_expert", Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE
        )
        run.wait_until_ok()
        assert time.time() - begin < RECOVERY * patience
        assert tuple(run.chunks[-1].views) == views


def test_an_instruction_that_nobody_said_is_a_reason(run: Run) -> None:
    run.graph.parameters["action_expert"]["allow_several_publishers"] = True  # else it is a HOLD
    run.wait_until_ok(begin=run.restart("action_expert") + AWAY)
    message = run.features[-1]
    message.instruction, message.update_id = "Said by nobody", 10**6
    count = len(run.chunks)
    publisher = run.listener.publisher(VLFeatures, "/vla/features")
    run.listener.spin_until(lambda: publisher.get_subscription_count() > 1)
    publisher.publish(message)  # as the VLM itself: it has its source_id
    run.listener.spin_until(
        lambda: any(each.instruction == "Said by nobody" for each in run.chunks[count:])
    )
    run.wait_until_ok()
    for each in run.chunks[count:]:
        if each.instruction == "Said by nobody":
            assert each.validity == ActionChunk.DEGRADED
            assert "to 'Said by nobody', and no message on" in "; ".join(each.reasons)

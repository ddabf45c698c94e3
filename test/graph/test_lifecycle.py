"""The managed life cycle of the two model nodes, driven as ros2 lifecycle does."""

from __future__ import annotations

import time

import numpy as np
import pytest
from expert_topics import Inputs
from harness import Listener, NodeProcess, running
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState

from vla_inference_ros.msg import ActionChunk

NODES = ("vlm", "action_expert")
NEVER = 3600.0  # an age limit that nothing in these tests reaches [s]


def change(listener: Listener, node: str, transition: int) -> bool:
    state(listener, node)  # so that the node is there, and the change is asked for once
    request = ChangeState.Request(transition=Transition(id=transition))
    return bool(listener.call(ChangeState, f"/{node}/change_state", request).success)


def state(listener: Listener, node: str) -> int:
    return int(listener.call(GetState, f"/{node}/get_state", GetState.Request()).current_state.id)


@pytest.mark.parametrize("node", NODES)
def test_a_node_activates_itself(node: str, listener: Listener) -> None:
    with running(node, model="stub"):
        assert state(listener, node) == State.PRIMARY_STATE_ACTIVE


@pytest.mark.parametrize("node", NODES)
def test_a_node_goes_through_its_life_cycle(node: str, listener: Listener) -> None:
    with running(node, model="stub", autostart=False) as process:
        assert state(listener, node) == State.PRIMARY_STATE_UNCONFIGURED
        assert not process.said("stub (no network")
        for _ in range(2):
            assert change(listener, node, Transition.TRANSITION_CONFIGURE)
            process.wait_until_said("stub (no network")
            assert state(listener, node) == State.PRIMARY_STATE_INACTIVE
            assert change(listener, node, Transition.TRANSITION_ACTIVATE)
            assert state(listener, node) == State.PRIMARY_STATE_ACTIVE
            assert not change(listener, node, Transition.TRANSITION_CONFIGURE)
            assert change(listener, node, Transition.TRANSITION_DEACTIVATE)
            assert change(listener, node, Transition.TRANSITION_CLEANUP)
            assert state(listener, node) == State.PRIMARY_STATE_UNCONFIGURED
        assert len(process.said("stub (no network")) == 2


@pytest.mark.parametrize("node", NODES)
def test_shutdown_ends_the_process(node: str, listener: Listener) -> None:
    with running(node, model="stub") as process:
        assert change(listener, node, Transition.TRANSITION_ACTIVE_SHUTDOWN)
        assert process.wait() == 0


@pytest.mark.parametrize("node", NODES)
def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured(
    node: str, listener: Listener
) -> None:
    with running(node, model="stub", checkpoint="none.pt", autostart=False) as process:
        assert not change(listener, node, Transition.TRANSITION_CONFIGURE)
        process.wait_until_said("cannot be configured: checkpoint:=none.pt")
        assert state(listener, node) == State.PRIMARY_STATE_UNCONFIGURED


def test_an_inactive_expert_publishes_nothing_and_forgets_what_it_knew(listener: Listener) -> None:
    inputs = Inputs(listener)
    chunks = listener.listen(ActionChunk, "/vla/actions")
    limits = {
        f"{name}_age_{kind}": NEVER for name in ("features", "sensor") for kind in ("soft", "hard")
    }

    def feed() -> None:
        inputs.features(1, stamp=time.time())
        inputs.samples(np.arange(65), time.time())

    with running("action_expert", model="stub", stub_expert_ms=5.0, **limits) as process:
        listener.spin_until(lambda: chunks, repeat=feed)
        assert change(listener, "action_expert", Transition.TRANSITION_DEACTIVATE)
        listener.spin_for(0.2)  # what was on its way
        count = len(chunks)
        feed()
        listener.spin_for(0.5)  # five ticks
        assert len(chunks) == count
        assert change(listener, "action_expert", Transition.TRANSITION_ACTIVATE)
        listener.spin_until(lambda: len(chunks) > count, repeat=feed)
        assert chunks[-1].chunk_id == chunks[count - 1].chunk_id + 1
        _is_well(process)


def _is_well(process: NodeProcess) -> None:
    assert process.process.poll() is None
    assert not process.said("ERROR")

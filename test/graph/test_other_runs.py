"""What a run was told holds for that run alone, and as long as any of its nodes works."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import LATCHED, Listener
from restarting import Graph
from std_msgs.msg import String

from vla_inference_ros.convert import header, seconds
from vla_inference_ros.msg import ActionChunk, RunState

ASIDE = 2.0  # how long what must not happen is waited for, longer than an update takes [s]
STRANGER = 7  # source_id of what the test publishes


@pytest.fixture(scope="module")
def graph() -> Iterator[Graph]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLA_RUN_ID", "today")
        with Graph() as graph:
            yield graph


@pytest.fixture
def chunks(graph: Graph, listener: Listener) -> list[ActionChunk]:
    """The chunks from now on, the newest of which is OK."""
    chunks = listener.listen(ActionChunk, "/vla/actions")
    listener.spin_until(lambda: chunks[-1].validity == ActionChunk.OK, graph.check_alive)
    return chunks


@contextmanager
def stopped(graph: Graph, name: str) -> Iterator[None]:
    """A node that hangs meanwhile."""
    process = graph.running[name].process
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("run", ["", "yesterday"])
def test_a_node_that_outlived_another_run_does_not_rule_this_one(
    run: str, graph: Graph, chunks: list[ActionChunk], listener: Listener
) -> None:
    said = f"Said {run or 'by who knows no run'}"
    message = RunState(header=header(time.time()), source_id=STRANGER)
    message.names, message.values = ["/vla/instruction"], [said]
    message.times = [time.time_ns()]
    if run:
        message.run_id = run
    before = chunks[-1].instruction
    listener.deliver(message, "/vla/run_state", LATCHED)
    listener.spin_until(lambda: graph.running["vlm"].said(f"{said!r} is of another run"))
    listener.spin_for(ASIDE)
    assert {each.instruction for each in chunks} == {before}


def test_an_instruction_outlives_those_that_infer_while_the_monitor_hangs(
    graph: Graph, chunks: list[ActionChunk], listener: Listener
) -> None:
    listener.deliver(String(data="Hold still"), "/vla/instruction")
    listener.spin_until(lambda: chunks[-1].instruction == "Hold still", graph.check_alive)
    victims = ("vlm", "action_expert")
    with stopped(graph, "monitor"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLA_RUN_ID", "today")
        dead = graph.kill(victims)
        graph.start(victims)
        listener.spin_until(
            lambda: (
                chunks[-1].validity == ActionChunk.OK and seconds(chunks[-1].header.stamp) > dead
            ),
            graph.check_alive,
        )
        listener.spin_for(ASIDE)
    after = [each for each in chunks if seconds(each.header.stamp) > dead]
    assert {each.instruction for each in after} == {"Hold still"}

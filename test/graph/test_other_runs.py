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
from vla_inference_ros.msg import ActionChunk, RunState, StreamReport

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


def test_a_message_that_a_node_hears_again_is_no_new_one(
    graph: Graph, chunks: list[ActionChunk], listener: Listener
) -> None:
    """As one does that was just started, of a publisher that keeps it and whose clock is ahead."""
    states = listener.listen(RunState, "/vla/run_state", LATCHED)
    listener.deliver(String(data="Insert"), "/vla/instruction")
    listener.spin_until(lambda: chunks[-1].instruction == "Insert", graph.check_alive)
    listener.deliver(String(data="Rest"), "/vla/instruction")
    listener.spin_until(lambda: chunks[-1].instruction == "Rest", graph.check_alive)
    again = RunState(header=header(time.time()), source_id=STRANGER, run_id="today")
    again.names, again.values = ["/vla/instruction"], ["Insert"]
    again.times = [time.time_ns() + 3600 * 10**9]
    again.stamps = [states[-1].stamps[list(states[-1].values).index("Insert")]]
    listener.deliver(again, "/vla/run_state", LATCHED)
    del chunks[:]
    listener.spin_for(ASIDE)
    assert {each.instruction for each in chunks} == {"Rest"}


def test_reports_of_nodes_that_there_are_not_keep_no_instruction_out(
    graph: Graph, chunks: list[ActionChunk], listener: Listener
) -> None:
    report = StreamReport(header=header(time.time()), node="nobody", source_id=STRANGER)
    report.set_parameters = [f"p{number}:=v" for number in range(400)]
    states = listener.listen(RunState, "/vla/run_state", LATCHED)
    listener.deliver(report, "/vla/reports")
    listener.deliver(String(data="Stop at once"), "/vla/instruction")
    listener.spin_until(lambda: chunks[-1].instruction == "Stop at once", graph.check_alive)
    assert not any(name.startswith("nobody") for name in states[-1].names)

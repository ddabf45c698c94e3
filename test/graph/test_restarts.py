"""Every sender and every node is killed and started again, alone and in pairs, on real sockets.

One run of rounds in an order from a fixed seed; the tests then look at what was heard of it. A
round ends when the graph is well again, or the run fails: each wait has a limit.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from itertools import combinations

import pytest
from harness import Listener
from restarting import Graph, Heard
from std_msgs.msg import String

from vla_inference_ros.convert import seconds
from vla_inference_ros.graph import NODES, SIM_NODES
from vla_inference_ros.msg import ActionChunk, InferenceStatus

pytestmark = pytest.mark.long

SEED = 47
FULL, SHORT_SINGLES = 50, 5  # rounds
PROCESSES = (*NODES, *SIM_NODES)
TICK = 0.1  # [s]
CLOCK_RESOLUTION = 1e-6  # of a Unix time as a double, several times [s]
RECOVERY = 3.0  # within which chunks are OK again after all that was killed is back [s]
# Longer in the short form, which runs beside other tests; but not half a minute, as without our
# settings of the middleware.
RECOVERY_BESIDE_OTHERS = 15.0
FEATURES_AGE, SENSOR_AGE, ROBOT_AGE_SOFT = 2.0, 0.3, 0.1  # the expert's own limits [s]
# Without which there must be no chunk, and for how long there still may be one [s].
GRACE = {
    "sim_camera": FEATURES_AGE,
    "camera_bridge": FEATURES_AGE,
    "vlm": FEATURES_AGE,
    "sim_sensor": SENSOR_AGE,
    "sensor_bridge": SENSOR_AGE,
}
ROBOT = {"sim_robot", "robot_bridge"}
ROBOT_AND_MONITOR = ROBOT | {"monitor"}
LONG_AWAY = 2.5  # so that what depends on a process becomes too old [s]
AWAY = (0.5, 2.5)  # range of the time that the other processes are away [s]
SAID_ONCE = "Hold still"  # before the first round
SHOWN = 30  # lines of each process
COMPLAINTS = ("Traceback", "did not stop in time", "stopped: ")
Victims = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Round:
    """One round, in Unix seconds: when the last victim was ``dead``, when they were ``started``
    again, when each was ``back``, which is its first sign of life since, and the instant of the
    first chunk afterwards that is OK. ``chunks`` and ``statuses`` came since shortly before the
    deaths.
    """

    victims: Victims
    dead: float
    started: float
    back: dict[str, float]
    recovered: float
    chunks: list[ActionChunk]
    statuses: list[InferenceStatus]

    @property
    def recovery(self) -> float:
        """From when all victims were back [s]."""
        return self.recovered - max(self.back.values())

    def chunks_between(self, begin: float, end: float) -> list[ActionChunk]:
        """Those for instants between these two [Unix s]."""
        return [chunk for chunk in self.chunks if begin < seconds(chunk.header.stamp) < end]

    @property
    def withheld(self) -> tuple[float, float]:
        """Between these two times [Unix s] there must be no chunk, nothing of the victims' being
        recent enough; the first is after the second if there may be chunks all the time.
        """
        graces = [GRACE[victim] for victim in self.victims if victim in GRACE]
        return self.dead + min(graces, default=math.inf) + TICK, self.started


@dataclass(frozen=True, slots=True)
class Run:
    """All rounds, the exit statuses of those that were stopped at the end, and complaints."""

    rounds: list[Round]
    exits: dict[str, int]
    complaints: list[str]


def plan(source: random.Random, *, full: bool) -> list[Victims]:
    """The victims of each round. In full every process and every pair; else every process once,
    some of them in pairs, and one more pair.
    """
    if not full:
        names = source.sample(PROCESSES, len(PROCESSES))
        alone, rest = names[:SHORT_SINGLES], names[SHORT_SINGLES:]
        rounds = [*((name,) for name in alone), tuple(rest[:2]), tuple(rest[2:])]
        return [*rounds, (alone[0], rest[0])]
    every: list[Victims] = [(name,) for name in PROCESSES]
    every += combinations(PROCESSES, 2)
    every += source.sample(every, FULL - len(every))
    source.shuffle(every)
    return every


def play(graph: Graph, heard: Heard, listener: Listener, victims: Victims, away: float) -> Round:
    """Kill, wait, start again, and wait until all is well."""
    heard.chunks.clear()
    heard.statuses.clear()
    dead = graph.kill(victims)
    listener.spin_for(away)
    heard.forget_outputs()
    started = time.time()
    graph.start(victims)

    def back() -> dict[str, float]:
        signs = {name: [s for s in heard.outputs(name) if s > started] for name in victims}
        return {name: stamps[0] for name, stamps in signs.items() if stamps}

    def good_chunks() -> list[float]:
        ok = (chunk for chunk in heard.chunks if chunk.validity == ActionChunk.OK)
        return [stamp for chunk in ok if (stamp := seconds(chunk.header.stamp)) >= all_back]

    def is_well() -> bool:
        return any(
            status.state == InferenceStatus.OK and seconds(status.header.stamp) > recovered
            for status in heard.statuses[-1:]
        )

    listener.spin_until(lambda: len(back()) == len(victims), graph.check_alive)
    returns = back()
    all_back = max(returns.values())
    listener.spin_until(good_chunks, graph.check_alive)
    recovered = good_chunks()[0]
    listener.spin_until(is_well, graph.check_alive)
    return Round(
        victims,
        dead,
        started,
        returns,
        recovered,
        chunks=list(heard.chunks),
        statuses=list(heard.statuses),
    )


def report(number: int, played: Round) -> None:
    """One line a round, shown when a test fails."""
    begin, end = played.withheld
    print(
        f"round {number}: {' and '.join(played.victims)}; back after "
        f"{max(played.back.values()) - played.started:.2f} s, OK {played.recovery:.2f} s later; "
        f"no chunk at {max(0.0, end - begin) / TICK:.0f} ticks for want of input"
    )


@pytest.fixture(scope="module")
def run(full: bool, listener: Listener) -> Run:
    source = random.Random(SEED)
    rounds: list[Round] = []
    heard = Heard(listener)
    graph = Graph()
    try:
        listener.spin_until(
            lambda: heard.statuses and heard.statuses[-1].state == InferenceStatus.OK,
            graph.check_alive,
        )
        listener.deliver(String(data=SAID_ONCE), "/vla/instruction")
        listener.spin_until(lambda: heard.chunks[-1].instruction == SAID_ONCE, graph.check_alive)
        for victims in plan(source, full=full):
            away = source.uniform(*AWAY) if GRACE.keys().isdisjoint(victims) else LONG_AWAY
            rounds.append(play(graph, heard, listener, victims, away))
            report(len(rounds), rounds[-1])
        exits = graph.stop()
        complaints = [line for text in COMPLAINTS for line in graph.said(text)]
    finally:
        graph.clean_up()
        for node in graph.running.values():  # shown when a test fails
            print(f"--- {node.name}", *node.lines[-SHOWN:], sep="\n")
    return Run(rounds, exits, complaints)


def test_every_process_has_been_killed_alone_or_in_a_pair(run: Run, full: bool) -> None:
    assert {name for played in run.rounds for name in played.victims} == set(PROCESSES)
    assert {len(played.victims) for played in run.rounds} == {1, 2}
    assert not full or len(run.rounds) == FULL


def test_nobody_fails_over_the_death_of_another(run: Run) -> None:
    assert run.complaints == []


def test_all_end_well_at_last(run: Run) -> None:
    assert run.exits == dict.fromkeys(PROCESSES, 0)


def test_no_chunk_is_made_of_what_is_too_old(run: Run) -> None:
    for chunk in (chunk for played in run.rounds for chunk in played.chunks):
        stamp = seconds(chunk.header.stamp)
        assert stamp - seconds(chunk.features_stamp) <= FEATURES_AGE + CLOCK_RESOLUTION
        assert stamp - seconds(chunk.sensor_last_stamp) <= SENSOR_AGE + CLOCK_RESOLUTION
        if chunk.validity == ActionChunk.OK:
            assert stamp - seconds(chunk.robot_state.header.stamp) <= ROBOT_AGE_SOFT


def test_what_was_said_once_outlives_them_all(run: Run) -> None:
    chunks = [chunk for played in run.rounds for chunk in played.chunks]
    said = {chunk.instruction for chunk in chunks if chunk.validity == ActionChunk.OK}
    assert said == {SAID_ONCE}


def test_no_chunk_comes_while_one_of_its_sources_is_dead(run: Run) -> None:
    rounds = [played for played in run.rounds if not GRACE.keys().isdisjoint(played.victims)]
    assert {victim for played in rounds for victim in played.victims} >= GRACE.keys()
    for played in rounds:
        begin, end = played.withheld
        assert end - begin > TICK, played.victims
        assert played.chunks_between(begin, end) == [], played.victims


def test_without_the_robot_chunks_are_degraded(run: Run) -> None:
    rounds = [
        played
        for played in run.rounds
        if not ROBOT.isdisjoint(played.victims) and ROBOT_AND_MONITOR.issuperset(played.victims)
    ]
    assert rounds
    for played in rounds:
        begin = played.dead + ROBOT_AGE_SOFT + TICK
        chunks = played.chunks_between(begin, played.started)
        assert chunks
        for chunk in chunks:
            assert chunk.validity == ActionChunk.DEGRADED
            assert any("robot state is" in reason for reason in chunk.reasons)


def test_without_the_monitor_chunks_go_on(run: Run) -> None:
    rounds = [played for played in run.rounds if played.victims == ("monitor",)]
    assert rounds
    for played in rounds:
        assert played.chunks_between(played.dead, played.started)


def test_the_status_says_why_there_are_no_chunks(run: Run) -> None:
    needed = GRACE.keys() | {"action_expert"}
    rounds = [
        played
        for played in run.rounds
        if "monitor" not in played.victims and not needed.isdisjoint(played.victims)
    ]
    assert rounds
    for played in rounds:
        holds = [
            status.reason
            for status in played.statuses
            if status.state == InferenceStatus.HOLD
            and played.dead < seconds(status.header.stamp) < played.recovered
        ]
        assert holds, played.victims
        assert all(holds), played.victims


def test_chunks_are_ok_again_soon_after_all_are_back(run: Run, full: bool) -> None:
    for played in run.rounds:
        limit = RECOVERY if full else RECOVERY_BESIDE_OTHERS
        assert played.recovery < limit, played.victims

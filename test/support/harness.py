"""Runs the real node executables as subprocesses, listens to them and talks to them over ROS."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import rclpy
from ports import free_port as free_port  # those that test with nodes need ports
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock  # type: ignore[import-untyped]

from vla_inference_ros.convert import time_message
from vla_inference_ros.graph import PACKAGE, prefix
from vla_inference_ros.msg import StreamReport

TIMEOUT = 30.0  # until what should come about at once has failed to [s]; a busy machine can stall
_EVERY = 0.05  # between two calls of what a test repeats while it waits [s]
_ASK_AGAIN = 1.0  # a service that has not answered for so long [s]
_DEPTH = QoSProfile(depth=1000)  # reliable; nothing is lost while a test does not spin
LATCHED = QoSProfile(depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL)

_LAST_LINES = 15  # of each node, that are shown when a test waits in vain

Parameter = bool | int | float | str | list[str] | list[float]

_running: list[NodeProcess] = []


class NodeProcess:
    """One node executable; its output is collected by a thread."""

    def __init__(self, name: str, parameters: dict[str, Parameter], by: Sequence[str] = ()) -> None:
        """``by`` is a command that runs the node's."""
        arguments = [f"{key}:={json.dumps(value)}" for key, value in parameters.items()]
        command = [*by, str(prefix() / "lib" / PACKAGE / name), "--ros-args"]
        command += [word for argument in arguments for word in ("-p", argument)]
        self.name = name
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        _running.append(self)

    @property
    def lines(self) -> list[str]:
        """What the node has said so far."""
        return list(self._lines)

    def said(self, text: str) -> list[str]:
        """The lines that contain a text."""
        return [line for line in self.lines if text in line]

    def wait_until_said(self, text: str, times: int = 1) -> None:
        """Wait for so many lines that contain a text."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.said(text)) < times:
            assert self.process.poll() is None, f"{self.name} has ended: {self.lines}"
            assert time.monotonic() < deadline, f"{self.name} has not said {text!r}: {self.lines}"
            time.sleep(0.01)

    def wait(self) -> int:
        """Wait for the end; the exit status."""
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._abort()
            raise
        finally:
            self.process.kill()  # harmless once it has ended
            self._reader.join()
            if self in _running:
                _running.remove(self)
        return status

    def stop(self) -> int:
        """End it as Ctrl+C does once it is up; the exit status."""
        deadline = time.monotonic() + TIMEOUT
        while not self._is_up():
            if time.monotonic() > deadline:
                self._abort()
                break
            time.sleep(0.01)
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def _abort(self) -> None:
        """End a node that hangs; where each of its threads is stands among its lines then."""
        self.process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(TIMEOUT)

    def _is_up(self) -> bool:
        """Whether it takes signals, or has ended; while it starts, they just end it."""
        if self.process.poll() is not None:
            return True
        state = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        caught = int(state.split("SigCgt:")[1].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line.rstrip("\n"))


@contextmanager
def running(name: str, **parameters: Parameter) -> Iterator[NodeProcess]:
    """A node that must end well when it is stopped, unless it has been stopped before."""
    with ending_with(0, name, **parameters) as node:
        yield node


@contextmanager
def ending_with(expected: int, name: str, **parameters: Parameter) -> Iterator[NodeProcess]:
    """A node that must end with an exit status when it is stopped, and without a traceback."""
    node = NodeProcess(name, parameters)
    try:
        yield node
    finally:
        status = node.stop()
        print(f"--- {name}", *node.lines, sep="\n")  # shown when a test fails
    assert status == expected
    assert not node.said("Traceback")
    assert not node.said("did not stop in time")


def failed_start(name: str, **parameters: Parameter) -> str:
    """What a node that must not start says: one line, with exit status 1."""
    node = NodeProcess(name, parameters)
    assert node.wait() == 1
    lines = [line for line in node.lines if "RTPS" not in line]  # the middleware's own troubles
    assert len(lines) == 1, lines
    assert "cannot start: " in lines[0]
    return lines[0]


def problems(report: StreamReport) -> dict[str, int]:
    """How often each kind of bad input was seen."""
    return dict(zip(report.problem_kinds, report.problem_counts, strict=True))


def _holds(condition: Callable[[], object]) -> bool:
    """Whether a condition holds; one on the newest message does not as long as there is none."""
    try:
        return bool(condition())
    except IndexError:
        return False


def _in_vain() -> str:
    """That what a test waits for has not come about, and what the nodes have said meanwhile."""
    said = [line for node in _running for line in (f"--- {node.name}", *node.lines[-_LAST_LINES:])]
    return "\n".join(["what the test waits for has not come about", *said])


class Listener:
    """A ROS node in the test's process; it takes messages only while the test spins it."""

    def __init__(self) -> None:
        self._node = rclpy.create_node("listener")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._heard: dict[str, list[Any]] = {}
        self._subscriptions: dict[str, Any] = {}
        self._publishers: dict[str, Any] = {}

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()

    def listen(self, message_type: type, topic: str, profile: QoSProfile = _DEPTH) -> list[Any]:
        """The messages of a topic from now on: the list grows while the listener spins.

        With LATCHED none is missed of a node that keeps its last one and starts from now on.
        """
        if topic not in self._heard:
            self._subscriptions[topic] = self._node.create_subscription(
                message_type, topic, lambda message: self._heard[topic].append(message), profile
            )
        _discard_what_has_come(self._subscriptions[topic])
        self._heard[topic] = []
        return self._heard[topic]

    def publisher(self, message_type: type, topic: str, profile: QoSProfile = _DEPTH) -> Any:
        """A publisher, the same for each call; perhaps nobody listens to it."""
        if topic not in self._publishers:
            self._publishers[topic] = self._node.create_publisher(message_type, topic, profile)
        return self._publishers[topic]

    def deliver(self, message: Any, topic: str, profile: QoSProfile = _DEPTH) -> None:
        """Publish once somebody listens."""
        publisher = self.publisher(type(message), topic, profile)
        self.spin_until(lambda: self._audience(topic) > 0)
        publisher.publish(message)

    def publishers_of(self, topic: str) -> set[str]:
        """The nodes that are known to publish on a topic."""
        names = {each.node_name for each in self._node.get_publishers_info_by_topic(topic)}
        return names - {"_NODE_NAME_UNKNOWN_"}  # one that has come a moment ago, or has gone

    def call(self, service_type: Any, name: str, request: Any) -> Any:
        """The first response of a service. It may be asked more than once: what a client asks
        before the two ends know each other well enough is lost without a word.
        """
        client = self._node.create_client(service_type, name)
        futures: list[Any] = []
        asked = -math.inf

        def ask() -> None:
            nonlocal asked
            if client.service_is_ready() and time.monotonic() - asked > _ASK_AGAIN:
                asked = time.monotonic()
                futures.append(client.call_async(request))

        self.spin_until(lambda: any(future.done() for future in futures), repeat=ask)
        self._node.destroy_client(client)
        return next(future.result() for future in futures if future.done())

    def wait_until_delivered(self) -> None:
        """Wait until all is there; takes up to the middleware's heartbeat period of 0.1 s."""
        for publisher in self._publishers.values():
            assert publisher.wait_for_all_acked(Duration(seconds=TIMEOUT))

    def wait_until_alone(self) -> None:
        """Wait until the nodes that have been stopped are forgotten."""
        self.spin_until(lambda: not any(map(self._audience, self._publishers)))

    def _audience(self, topic: str) -> int:
        """How many others listen to what this node publishes on a topic."""
        return int(self._publishers[topic].get_subscription_count()) - (topic in self._heard)

    def spin_until(
        self, condition: Callable[[], object], repeat: Callable[[], object] = lambda: None
    ) -> None:
        """Take messages until a condition holds, and meanwhile call ``repeat`` again and again."""
        deadline = time.monotonic() + TIMEOUT
        due = 0.0
        while not _holds(condition):
            now = time.monotonic()
            assert now < deadline, _in_vain()
            if now >= due:
                repeat()
                due = now + _EVERY
            self._executor.spin_once(timeout_sec=_EVERY)

    def spin_for(self, seconds: float) -> None:
        """Take messages for a while; to wait for something, there is ``spin_until``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def take_all(self) -> None:
        """Take what has come while the test did not spin, or spun too slowly."""
        before = -1
        while (count := sum(map(len, self._heard.values()))) > before:
            before = count
            self.spin_for(0.5)

    def report(
        self,
        node: str,
        stream: str,
        condition: Callable[[StreamReport], bool] = lambda report: True,
        repeat: Callable[[], object] = lambda: None,
    ) -> StreamReport:
        """The next report of a stream that meets a condition."""
        reports = self.listen(StreamReport, "/vla/reports")

        def found() -> list[StreamReport]:
            return [
                report
                for report in reports
                if (report.node, report.stream) == (node, stream) and condition(report)
            ]

        self.spin_until(found, repeat)
        return found()[0]


def _discard_what_has_come(subscription: Any) -> None:
    """Drop what nodes of earlier tests have sent and nobody has taken yet."""
    with subscription.handle:  # keeps it alive meanwhile
        while subscription.handle.take_message(subscription.msg_type, subscription.raw):
            pass


class SimulatedTime:
    """The time of nodes with ``use_sim_time``; it moves only when the test says so."""

    def __init__(self, listener: Listener) -> None:
        self.now = 1000.0
        self._publisher = listener.publisher(Clock, "/clock")

    def say(self, now: float) -> None:
        """Set the time [s]; said again and again, because it is sent without being confirmed."""
        self.now = now
        self._publisher.publish(Clock(clock=time_message(now)))

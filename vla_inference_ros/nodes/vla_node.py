"""What all nodes of this package share: streams that are reported, owned threads, main.

A node declares its parameters, adds streams and workers, and is run by :func:`run`, which turns a
start that failed or a worker that died into one clear line and a non-zero exit status.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic

import rclpy
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from vla_inference_ros.convert import header
from vla_inference_ros.core.memory import limit_told, out_of_memory
from vla_inference_ros.core.priority import (
    parse_cpus,
    pin_process,
    raise_priority,
    starting_threads,
    threads,
)
from vla_inference_ros.core.schedule import SteadyClock, TickClock
from vla_inference_ros.core.worker import Worker
from vla_inference_ros.msg import StreamReport
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.dds_profile import SMALL_SEGMENT
from vla_inference_ros.nodes.logger import PrintableLogger
from vla_inference_ros.nodes.middleware import set_up_middleware
from vla_inference_ros.nodes.parameters import Config, ParameterError, declare
from vla_inference_ros.nodes.simulated_time import RosClock, is_simulated, keep_time
from vla_inference_ros.nodes.stream import CALLBACKS, Stream
from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.verbosity import follow_verbosity

REPORT_PERIOD = 1.0  # [s]
_TEARDOWN_TIME = 0.5  # of all else, when the workers have stopped [s]
_LOOK_PERIOD = 0.2  # how often a running node looks at its workers and its streams' troubles [s]
_GIVE_WAY = 0.0002  # a thread that runs Python lets a waiting one go on after so long [s]


class StartError(Exception):
    """A node cannot start; the message says which parameter is at fault and what to do."""


class VlaNode(Node, Generic[Config]):
    """A node with typed parameters (``config``), counted streams and owned threads."""

    stop_time = 1.5  # that each of its threads may take to stop [s]

    def __init__(self, name: str, config_type: type[Config], **node_arguments: Any) -> None:
        self._printable_logger = PrintableLogger(name)  # until the full name is known
        super().__init__(name, **node_arguments)
        self._printable_logger = PrintableLogger(super().get_logger().name)
        self._callbacks: Stream | None = None  # what could not be handled, once there is any
        self.source_id = 1 + secrets.randbelow(2**64 - 1)  # of all that this node publishes
        self._set_parameters: dict[str, str] = {}  # while the node ran
        self._has_set = False  # and has not told so yet
        keep_time(self)
        follow_verbosity(self)
        self.config: Config = declare(self, config_type)
        self.add_post_set_parameters_callback(self._note_parameters)
        _check_cpus(self.config)
        self.finished = False  # set by a node that has done what it was asked to, or cannot
        self.exit_status = 0  # then set by one that could not do all that it was for
        self._streams: list[Stream] = []
        self._workers: list[Worker] = []
        self._reports = self.create_publisher(StreamReport, "/vla/reports", qos.REPORTS)
        self._looked = 0.0  # when troubles were looked at last [monotonic s]
        self.reports_itself = False  # a worker that reports between its ticks, undisturbed
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # a replay's time may crawl or stand still
        self.create_timer(REPORT_PERIOD, self._report, clock=steady)

    def add_stream(self, name: str) -> Stream:
        """A stream that is reported every second."""
        stream = Stream(self, name)
        self._streams.append(stream)
        return stream

    def add_worker(
        self, name: str, body: Callable[[threading.Event], None], *, claims_cpu: bool = True
    ) -> None:
        """Start a thread that :meth:`stop_workers` stops. Of several, one is to claim the CPU, the
        last to start: it does so for all.
        """

        def prepared(stopping: threading.Event) -> None:
            if claims_cpu and isinstance(self.config, ThreadConfig):
                self.claim_cpu(self.config.cpu_affinity, self.config.realtime_priority)
            body(stopping)

        worker = Worker(name, prepared)
        self._workers.append(worker)
        worker.start()

    def stop_workers(self, timeout: float) -> bool:
        """Stop the threads, each in ``timeout`` seconds; whether all have ended."""
        ended = True
        for worker in self._workers:
            ended = worker.stop(timeout) and ended
        if ended and self.failure is None:
            self._workers.clear()
        return ended

    def now(self) -> float:
        """ROS time [Unix s]."""
        return float(self.get_clock().now().nanoseconds) * 1e-9

    def tick_clock(self, awake: float = 0.0) -> TickClock:
        """The clock that this node's schedules run by; ``awake`` as :class:`SteadyClock` has it."""
        return RosClock(self) if is_simulated(self) else SteadyClock(awake)

    def get_logger(self) -> PrintableLogger:
        """The node's logger, for text from anywhere."""
        return self._printable_logger

    def refuse(self, error: Exception) -> None:
        """Count a message, or a timer's call, that the executor's thread could not handle: in a
        stream of its own, which comes about with the first.
        """
        if self._callbacks is None:
            self._callbacks = self.add_stream(CALLBACKS)
        self._callbacks.refuse(error)

    @property
    def is_inactive(self) -> bool:
        """Whether the node is a managed one that does not work at the moment."""
        return False

    def _note_parameters(self, parameters: list[Parameter[Any]]) -> None:
        given = {each.name: str(each.value) for each in parameters}
        self._set_parameters = {**self._set_parameters, **given}  # another thread may read it
        self._has_set = True

    @property
    def failure(self) -> BaseException | None:
        """What a worker died of, if one did."""
        return next((worker.error for worker in self._workers if worker.error), None)

    def close(self) -> None:
        """Stop the workers, then release what they used; safe after a start that failed."""
        if not self.stop_workers(self.stop_time):
            self.get_logger().error("a worker thread did not stop in time")
        self.release()
        self.destroy_node()

    def release(self) -> None:
        """Release sockets and models; called once, after the workers have stopped."""

    def claim_cpu(self, cpu_affinity: str, realtime_priority: int) -> None:
        """Take the CPUs and the real-time priority that are asked for, as far as they are allowed.

        All threads get the priority, the calling one a little more: it waits for what the others
        hold, such as the interpreter's lock and the middleware's, and must not wait for their turn.
        """
        if cpu_affinity and (complaint := pin_process(cpu_affinity)):
            self.get_logger().warning(complaint)
        if realtime_priority:
            with starting_threads:
                others = [thread for thread in threads() if thread != threading.get_native_id()]
                complaint = raise_priority(realtime_priority)
                complaint = complaint or raise_priority(max(1, realtime_priority - 1), others)
            if complaint:
                self.get_logger().warning(complaint)

    def start(self) -> None:
        """Called once the node is complete; raises StartError."""

    def _report(self) -> None:
        if not self.reports_itself:
            self.publish_reports()

    def look(self) -> None:
        """Report at once what has become of troubles, but not more often than is of use.

        The thread that receives should call it as well as the main one: in a backlog it leaves the
        main one no time.
        """
        now = time.monotonic()
        if now - self._looked < 0.5 * _LOOK_PERIOD:
            return
        # A worker that reports itself cannot tell that it does not come to its next tick.
        if self.reports_itself and not any(stream.overdue for stream in self._streams):
            return
        self._looked = now
        self.publish_news()

    def tell_parameters(self) -> None:
        """Report at once if parameters have been set: the node may be killed at any moment."""
        if self._has_set:
            self._has_set = False
            self.publish_reports()

    def publish_news(self) -> None:
        """Publish what is known of each stream whose troubles have come or gone."""
        self._publish_reports_of([stream for stream in self._streams if stream.has_news()])

    def publish_reports(self) -> None:
        """Publish what is known of each stream, now."""
        self._publish_reports_of(self._streams)
        if not self._streams:
            alone = StreamReport(header=header(self.now()), node=self.get_name())
            self._reports.publish(self._signed(alone))

    def _publish_reports_of(self, streams: Sequence[Stream]) -> None:
        now = self.now()
        for stream in streams:
            self._reports.publish(self._signed(stream.report(now)))

    def _signed(self, report: StreamReport) -> StreamReport:
        """The report with what it says of the node as a whole."""
        report.source_id, report.inactive = self.source_id, self.is_inactive
        report.set_parameters = [f"{name}:={value}" for name, value in self._set_parameters.items()]
        return report


def run(node_type: Callable[[], VlaNode[Any]], segment: int = SMALL_SEGMENT) -> int:
    """Run one node until SIGINT or SIGTERM; returns the process's exit status. What it publishes
    has ``segment`` [bytes] of shared memory.

    Once the node is up, a signal only ends the loop: the workers stop while ROS is still up, so
    that none of them is caught in the middle of publishing. Before that a signal just ends the
    process, however long its model takes to load.
    """
    faulthandler.enable()  # in a crash, and when a hung node is aborted, it says where it stands
    sys.setswitchinterval(_GIVE_WAY)  # the default of 5 ms is much for who works to the clock
    if limit := limit_told():
        print(limit, file=sys.stderr)
    try:
        complaint = set_up_middleware(segment)
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError) as error:  # variables, arguments or a file that cannot be
        print(f"cannot start: {error}", file=sys.stderr)
        return 1
    try:
        node = node_type()
        if complaint:
            node.get_logger().warning(complaint)
        node.start()
    except (StartError, ParameterError, ParameterException) as error:
        return _cannot_start(str(error))
    except MemoryError as error:
        return _cannot_start(out_of_memory(error))
    except rclpy_implementation.RCLError as error:  # as of a variable that ROS cannot use
        return _cannot_start(str(error))
    except RuntimeError as error:  # as of a thread for which there is no room
        if not limit:
            raise
        return _cannot_start(f"{error}; {limit}")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    # What is there by now stays. To look through it for garbage, which Python does now and then,
    # takes 30 to 40 ms, in which none of the node's threads goes on.
    gc.collect()
    gc.freeze()
    status = 1
    try:
        while not (stopping.is_set() or node.finished or node.failure):
            try:
                executor.spin_once(timeout_sec=_LOOK_PERIOD)
                node.look()
                node.tell_parameters()
            except Exception as error:  # of one message or timer: all others are handled
                if not rclpy.ok():
                    raise
                node.refuse(error)
        if node.failure is not None:
            node.get_logger().fatal(f"stopped: {_told(node.failure)}")
        status = node.exit_status if node.failure is None else 1
    finally:
        _end_after(node.stop_time + _TEARDOWN_TIME, status)
        node.close()
        executor.shutdown(timeout_sec=1.0)
        rclpy.shutdown()
    return status or node.exit_status


def _cannot_start(why: str) -> int:
    PrintableLogger("vla_inference_ros").fatal(f"cannot start: {why}")
    rclpy.shutdown()
    return 1


def _told(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return out_of_memory(error)
    return f"{type(error).__name__}: {error}"


def _check_cpus(config: object) -> None:
    if isinstance(config, ThreadConfig) and config.cpu_affinity:
        try:
            parse_cpus(config.cpu_affinity)
        except ValueError as error:
            raise ParameterError(f"parameter 'cpu_affinity': {error}") from error


def _end_after(limit: float, status: int) -> None:
    """End the process even if the middleware's teardown hangs, which it has been seen to do. Should
    it hang with the interpreter's lock, no timer of Python's goes off: then say where it stands.
    """
    faulthandler.dump_traceback_later(limit + _TEARDOWN_TIME, exit=True)
    timer = threading.Timer(limit, os._exit, (status,))
    timer.daemon = True
    timer.start()

"""One stream or stage of a node: its counts, its troubles, its warnings, its report."""

from __future__ import annotations

import time
import traceback
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rclpy.node import Node

from vla_inference_ros.convert import header, stage_timing, time_message
from vla_inference_ros.core.clock import ClockReading
from vla_inference_ros.core.memory import out_of_memory
from vla_inference_ros.core.rhythm import Rhythm
from vla_inference_ros.core.statistics import RateMeter, SlidingStatistics
from vla_inference_ros.core.tally import Tally, WarningLimiter
from vla_inference_ros.core.troubles import OVERDUE, SILENT, Troubles
from vla_inference_ros.msg import StreamReport

CALLBACKS = "callbacks"  # a node's stream of what its executor's thread could not handle
WARM_UP = 5.0  # of a stage, whose times then say little [s]


class Stream:
    """One stream or stage of a node: its counts, its warnings, its report."""

    def __init__(self, node: Node, name: str) -> None:
        self.name = name
        self.tally = Tally()
        self.clock: ClockReading | None = None
        self.rhythm: Rhythm | None = None
        self.troubles = Troubles()
        self.fill = 0
        self.capacity = 0
        self.hold = ""  # why a stage holds its results back
        self.ready = False
        self.held_back = 0  # items that came before their sender's clock was known
        self._timers: dict[str, SlidingStatistics] = {}
        self._logger = node.get_logger()
        self._node_name = node.get_name()
        self._limiter = WarningLimiter()
        self._rate = RateMeter()
        self._told: list[str] = []  # troubles in the last report
        self._task: tuple[str, float, float] | None = None  # what a stage does, limit, until when

    def accept(self, newest_time: float, count: int = 1) -> None:
        """Count good items; ``newest_time`` is the newest one's acquisition [Unix s]."""
        self.tally.accept(newest_time, count)
        self.ready = True

    def ignore(self, what: str) -> None:
        """Count an item that is not for us, and say so now and then."""
        count = self.tally.ignore()
        if self._limiter.due(f"ignored {what}"):
            self._logger.warning(f"{self.name}: {what} ({count} so far)")

    def warn(self, kind: str, message: str) -> None:
        """Warn at a limited rate of something that is no bad input."""
        if self._limiter.due(kind):
            self._logger.warning(f"{self.name}: {message}")

    def inform(self, kind: str, message: str) -> None:
        """Log at a limited rate what is good to know."""
        if self._limiter.due(kind):
            self._logger.info(f"{self.name}: {message}")

    def problem(self, kind: str, message: str, count: int = 1, *, told: bool = False) -> None:
        """Count bad input of a kind, and warn of it at a limited rate. It is a trouble as well, but
        where that is ``told`` in other words.
        """
        total = self.tally.reject(kind, count)
        if not told:
            self.troubles.see(kind)
        if self._limiter.due(kind):
            self._logger.warning(f"{self.name}: {message} ({kind}: {total} so far)")

    def refuse(self, error: Exception) -> None:
        """Count a message that ``error`` kept from being used: by the ``kind`` that this package's
        errors have. Any other is a defect, counted by its type, and its place is told.
        """
        kind = getattr(error, "kind", None)
        if isinstance(kind, str):
            self.problem(kind, str(error))
            return
        if isinstance(error, MemoryError):
            self.problem("out of memory", f"a message is not used: {out_of_memory(error)}")
            return
        name = type(error).__name__
        place = traceback.extract_tb(error.__traceback__)[-1:]
        where = "".join(f" in {Path(each.filename).name}, line {each.lineno}" for each in place)
        self.problem(
            f"unexpected {name}",
            f"a message is not used, because of a {name}{where}: {error}. That is a defect of this "
            "package; all other messages are used",
        )

    def note(self, kind: str, message: str) -> None:
        """Count what is odd about an item that is good all the same, and say so now and then."""
        total = self.tally.note(kind)
        if self._limiter.due(kind):
            self._logger.info(f"{self.name}: {message} ({kind}: {total} so far)")

    @contextmanager
    def doing(self, what: str, limit: float) -> Iterator[None]:
        """While a stage does ``what``: if that lasts longer than ``limit`` [s], it is a trouble at
        once, and the reason why it holds its results back.
        """
        self._task = (what, limit, time.monotonic() + limit)
        try:
            yield
        finally:
            self._task = None

    @property
    def overdue(self) -> str:
        """What has been going on for too long; '' if nothing has."""
        task = self._task  # the stage's thread may end it meanwhile
        if task is None or time.monotonic() < task[2]:
            return ""
        return f"{task[0]} has been running for more than {task[1]:.2g} s"

    def trouble(self, what: str, message: str) -> None:
        """Tell of something wrong that is no bad input: for as long as it lasts in the reports, and
        at a limited rate in the log.
        """
        self.troubles.see(what)
        self.warn(what, message)

    def has_news(self) -> bool:
        """Whether troubles have come or gone since the last report."""
        if self.rhythm is not None:
            silent = self.rhythm.silent(time.monotonic())
            self.troubles.keep(SILENT, silent)
            if silent:
                self.warn(SILENT, f"{SILENT}: has the sender stopped, or its network?")
        overdue = self.overdue
        self.troubles.keep(OVERDUE, bool(overdue))
        if overdue:
            self.warn(OVERDUE, f"{overdue}: is the device, or the machine, too busy?")
        return self.troubles.current() != self._told

    def timer(self, stage: str, deadline: float) -> Callable[[float], None]:
        """A function that notes a duration or an age of a stage [s], for the reports."""
        statistics = SlidingStatistics(warm_up=WARM_UP, deadline=deadline)
        self._timers[stage] = statistics
        return lambda value: statistics.add(time.monotonic(), value)

    def report(self, now: float) -> StreamReport:
        """The stream at ``now`` [Unix s]."""
        reading = self.tally.read()
        self._told = self.troubles.current()
        report = StreamReport(
            header=header(now),
            node=self._node_name,
            stream=self.name,
            accepted=reading.accepted,
            rejected=reading.rejected,
            ignored=reading.ignored,
            rate=self._rate.rate(now, reading.accepted),
            newest_stamp=time_message(reading.newest_time),
            fill=self.fill,
            capacity=self.capacity,
            hold="; ".join(filter(None, (self.overdue, self.hold))),
            ready=self.ready,
            held_back=self.held_back,
            troubles=self._told,
            problem_kinds=list(reading.problems),
            problem_counts=array("Q", reading.problems.values()),
            oddities=[f"{what}: {count}" for what, count in reading.oddities.items()],
            timings=[
                stage_timing(stage, timer.summary(time.monotonic()), timer.deadline)
                for stage, timer in self._timers.items()
            ],
        )
        if self.rhythm is not None:
            report.lost = self.rhythm.lost
            report.overtaken = self.rhythm.overtaken
            report.repeated = self.rhythm.repeated
        if self.clock is not None:
            report.clock_mode = self.clock.mode
            report.clock_offset = self.clock.offset
            report.clock_drift = self.clock.drift
            report.clock_uncertainty = self.clock.uncertainty
            report.clock_steps = self.clock.steps
            report.clock_lower_bound = self.clock.lower_bound
        return report

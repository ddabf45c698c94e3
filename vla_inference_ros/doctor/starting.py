"""Whether ROS starts with this shell's settings: tried in another process, which may die of it.

ROS's own libraries end a process at some settings. Does not own which of them are known.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from vla_inference_ros.doctor.result import Result, ok, problem, skipped
from vla_inference_ros.nodes.ros_settings import Unusable, unusable

_CHECK = "ROS settings"
_PATIENCE = 60.0  # with a start, which takes about a second [s]
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # the colours of what the middleware says
# With this process's path: Python would look into the current folder first.
_TRY = """
import sys
sys.path[:] = {path!r}
from vla_inference_ros.doctor.starting import tell_start
tell_start()
"""


@dataclass(frozen=True, slots=True)
class StartFacts:
    """``unusable`` are the settings that are known to be wrong; ``import_error`` says why rclpy
    cannot be imported, and ``error`` why no node can be started.
    """

    unusable: tuple[Unusable, ...] = ()
    import_error: str = ""
    error: str = ""

    @property
    def works(self) -> bool:
        """Whether this process can have a node too, and live."""
        return not (self.unusable or self.import_error or self.error)


def gather_start(environment: Mapping[str, str]) -> StartFacts:
    """Starts a node in another process, unless the variables say already that it would fail."""
    if known := unusable(environment):
        return StartFacts(tuple(known))
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY.format(path=sys.path)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return StartFacts(error=f"a node has not started in {_PATIENCE:g} s")
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if said:
        return StartFacts(**json.loads(said[-1]))
    return StartFacts(error=_last_words(done))


def tell_start() -> None:
    """In the other process: start a node, and print on a line what became of it, as JSON."""
    try:
        from vla_inference_ros.doctor.watch import DomainWatch
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        print(json.dumps({"import_error": f"{type(error).__name__}: {error}"}))
        return
    watch = DomainWatch(os.environ.get("ROS_DOMAIN_ID", ""), ())
    error_ = watch.look(0.0).error
    print(json.dumps({"error": error_}), flush=True)
    watch.close()


def settings(facts: StartFacts) -> Result:
    """Whether a node can be started, and if not, which setting is wrong."""
    if facts.unusable:
        findings, remedies = zip(
            *((each.finding, each.remedy) for each in facts.unusable), strict=True
        )
        return problem(_CHECK, "; ".join(findings), "; ".join(remedies))
    if facts.import_error:
        return skipped(_CHECK, "rclpy cannot be imported")
    if facts.error:
        return problem(
            _CHECK,
            f"no node can be started: {facts.error}",
            "look through the variables of ROS and its middleware: env | grep -E 'ROS|RMW|RCL|DDS'",
        )
    return ok(_CHECK, "a node can be started")


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [_ESCAPES.sub("", line).strip() for line in done.stderr.splitlines()]
    words = next((line for line in reversed(lines) if line), "without a word")
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    return f"{words} ({how})"

"""vla-launch: runs the launch files' graph where launch_ros is not installed.

Owns the child processes: starts them, passes their output on, and leaves none behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from vla_inference_ros import graph, watching
from vla_inference_ros.core.memory import limit_told
from vla_inference_ros.launch_arguments import ArgumentError, Value
from vla_inference_ros.mistyped import unknown
from vla_inference_ros.nodes.ros_settings import unusable

_USAGE = """usage: vla-launch [-h] [--show-args] FILE [NAME:=VALUE ...]

Run the nodes of a launch file of this package, as 'ros2 launch vla_inference_ros FILE' would.
FILE is one of: {files}
Ctrl+C stops all nodes. The exit status is 0 unless an argument or a setting of ROS is wrong, a
node has died that action chunks depend on, any other was down at the end,
or no action chunk came with duration:=N."""

_STOP_TIME = 5.0  # how long nodes may take to end before they are killed, as with ros2 launch [s]
_LAST_WORDS_TIME = 0.3  # how long a dead node's output may stay open [s]
_LOOK_PERIOD = 0.1  # [s]
_LONGEST_LINE = 65536  # a longer one is passed on in pieces [bytes]
# A node that has not finished starting ends by the signal itself, which is as good as by itself.
_SAME_SIGNAL_TIME = 0.2  # within which a signal to all processes reaches each [s]
_CLEAN = (0, -signal.SIGINT, -signal.SIGTERM)
_PR_SET_PDEATHSIG = 1  # prctl(2): a signal to the child when its parent dies


@dataclass(frozen=True, slots=True)
class _Program:
    """What is run: a node as the graph has it, or without ``node`` a stock tool."""

    name: str
    command: list[str]
    node: graph.NodeSpec | None = None


@dataclass(slots=True)
class _Child:
    """One running program, which has died so often in a row before, and the unfinished line of its
    output.
    """

    program: _Program
    process: subprocess.Popen[bytes]
    deaths: int = 0
    started: float = field(default_factory=time.monotonic)
    rest: bytes = b""

    @property
    def name(self) -> str:
        """The program's."""
        return self.program.name

    @property
    def output(self) -> IO[bytes]:
        """Its standard output and error."""
        assert self.process.stdout is not None
        return self.process.stdout


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be started at an instant (monotonic s)."""

    instant: float
    verb: str
    program: _Program
    deaths: int = 0


@dataclass(slots=True)
class Launcher:
    """Runs a graph; :meth:`run` returns when all of its nodes have ended."""

    graph: graph.Graph
    _running: list[_Child] = field(default_factory=list)
    _to_start: list[_Due] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stop_signal: int | None = None

    def run(self) -> int:
        """The exit status: 0, or 1 if a node has died or had to be killed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
                signal.signal(number, self._note_signal)
        status: int | None = None
        try:
            for index, node in enumerate(self.graph.nodes, start=1):
                command = _command(node, self.graph.params_file)
                self._start(_Due(0.0, "started", _Program(f"{node.name}-{index}", command, node)))
            self._invite_guests()
            while status is None:
                self._pass_output()
                if self._stop_signal is not None:
                    self._say(f"{signal.Signals(self._stop_signal).name}: stopping")
                    status = 0
                else:
                    status = self._look_after_children()
        finally:
            clean = self._stop()
        return status or (0 if clean else 1)

    def _note_signal(self, number: int, _: object) -> None:
        self._stop_signal = number

    def _invite_guests(self) -> None:
        for tool in self.graph.tools:
            plan = watching.plan(watching.tool(tool))
            for complaint in plan.complaints:
                self._say(complaint)
            for program in plan.programs:
                instant = time.monotonic() + program.delay
                guest = _Program(program.executable, program.command())
                self._to_start.append(_Due(instant, "started", guest))

    def _start(self, due: _Due) -> None:
        process = _spawn(due.program.command, self.graph.environment)
        child = _Child(due.program, process, due.deaths)
        self._running.append(child)
        self._selector.register(child.output, selectors.EVENT_READ, child)
        self._say(f"{due.verb} {child.name}, process {child.process.pid}")

    def _pass_output(self) -> None:
        for key, _ in self._selector.select(_LOOK_PERIOD):
            child: _Child = key.data
            data = os.read(key.fd, 65536)
            if not data:
                self._close_output(child)
                continue
            *lines, child.rest = (child.rest + data).split(b"\n")
            if len(child.rest) > _LONGEST_LINE:
                lines.append(child.rest)
                child.rest = b""
            for line in lines:
                self._write(f"[{child.name}] {line.decode(errors='replace')}")

    def _close_output(self, child: _Child) -> None:
        self._selector.unregister(child.output)
        child.output.close()
        if child.rest:
            self._write(f"[{child.name}] {child.rest.decode(errors='replace')}")

    def _look_after_children(self) -> int | None:
        """Restart the guests that have died, and others if the graph says so; otherwise, and when
        a node has done what it was asked to, the exit status to stop with.
        """
        for child in list(self._running):
            status = child.process.poll()
            if status is None:
                continue
            if status in _CLEAN and status != 0 and self._is_to_stop_too():
                return None
            self._running.remove(child)
            self._bury(child)
            node = child.program.node
            if node is not None and node.tells_end and status == graph.NO_CHUNK:
                self._say(f"{child.name} has ended, without an action chunk: stopping")
                return 1
            if node is None or (status == 0 and not node.tells_end):
                self._say(f"{child.name} has ended ({_describe(status)}): all else runs on")
                continue
            if status == 0:
                self._say(f"{child.name} has ended: stopping")
                return 0
            self._say(f"{child.name} died: {_describe(status)}")
            if not (node.is_guest or self.graph.respawn):
                return 1
            self._restart(child, node.is_guest)
        for due in [due for due in self._to_start if time.monotonic() >= due.instant]:
            self._to_start.remove(due)
            self._start(due)
        return None

    def _restart(self, child: _Child, is_guest: bool) -> None:
        """Soon; a guest that dies at once again and again, ever later."""
        now = time.monotonic()
        deaths = 1 if now - child.started > graph.RECOVERED_AFTER else child.deaths + 1
        delay = graph.guest_delay(deaths) if is_guest else graph.RESPAWN_DELAY
        self._to_start.append(_Due(now + delay, "restarted", child.program, deaths))
        if is_guest:
            self._say(f"{child.name} is started again in {delay:g} s: all else runs on")

    def _is_to_stop_too(self) -> bool:
        """Whether the signal that ended a child comes to us too, as to all of a service at once.

        The kernel promises no order.
        """
        deadline = time.monotonic() + _SAME_SIGNAL_TIME
        while self._stop_signal is None and time.monotonic() < deadline:
            time.sleep(_SAME_SIGNAL_TIME / 20)
        return self._stop_signal is not None

    def _bury(self, child: _Child) -> None:
        """Kill the processes that a dead child left behind, and print what it still had to say."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + _LAST_WORDS_TIME
        while not child.output.closed and time.monotonic() < deadline:
            self._pass_output()
        if not child.output.closed:
            self._close_output(child)

    def _stop(self) -> bool:
        """Stop all children; False if one had to be killed or has ended badly."""
        running = [child for child in self._running if child.process.poll() is None]
        for child in running:
            # Not SIGINT: while Python itself starts, that ends in a traceback.
            # rqt, though, takes no notice of SIGTERM.
            is_tool = child.program.node is None
            child.process.send_signal(signal.SIGINT if is_tool else signal.SIGTERM)
        self._await_end(running, _STOP_TIME)
        self._kill([child for child in running if child.process.poll() is None])
        for child in running:
            child.process.wait()
        for child in self._running:
            self._bury(child)
        nodes = (child for child in self._running if child.program.node is not None)
        failed = [node for node in nodes if node.process.returncode not in _CLEAN]
        for child in failed:
            self._say(f"{child.name} ended badly: {_describe(child.process.returncode)}")
        dead = [due.program for due in self._to_start if due.deaths]
        missing = [each.name for each in dead if each.node is not None and each.node.is_guest]
        for name in missing:
            self._say(f"{name} had died and was not brought back")
        return not failed and not missing

    def _kill(self, hung: Sequence[_Child]) -> None:
        """Kill what did not stop. A node first says at which line its threads stand."""
        for child in hung:
            self._say(f"{child.name} did not stop in {_STOP_TIME} s: killed")
            if child.program.node is not None:
                child.process.send_signal(signal.SIGABRT)
        self._await_end(hung, _LAST_WORDS_TIME)
        for child in hung:
            child.process.kill()

    def _await_end(self, children: Sequence[_Child], limit: float) -> None:
        """Pass on what is said until all of them have ended, for ``limit`` [s] at most."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline and any(c.process.poll() is None for c in children):
            self._pass_output()

    def _say(self, text: str) -> None:
        self._write(f"[vla-launch] {text}")

    def _write(self, line: str) -> None:
        try:
            print(line, flush=True)
        except OSError:  # nobody reads any more: "| head", "| tee" after Ctrl+C, a lost terminal
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._stop_signal = self._stop_signal or signal.SIGPIPE


def _command(node: graph.NodeSpec, params_file: Path) -> list[str]:
    executable = graph.prefix() / "lib" / graph.PACKAGE / node.name
    command = [str(executable), "--ros-args", "--params-file", str(params_file)]
    for name, value in node.parameters.items():
        # By the name of the node: what is for any node is overridden by a section of the file.
        command += ["-p", f"{node.name}:{name}:={_yaml(value)}"]
    return command


def _yaml(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False)  # YAML does not know JSON's surrogate pairs


def _spawn(command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl+C reaches the launcher alone, which tells the children once.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,
        env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
    )


def _die_with_parent() -> None:
    """In the child: end even if the launcher is killed without a chance to say so."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _describe(status: int) -> str:
    how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    return f"{how}; {limit}" if status != 0 and (limit := limit_told()) else how


def _parse(arguments: Sequence[str]) -> tuple[graph.LaunchFile, dict[str, str]]:
    """(launch file, arguments given)."""
    name, *rest = arguments
    if name not in graph.LAUNCH_FILES:
        raise ArgumentError(unknown("launch file", name, graph.LAUNCH_FILES))
    given = {}
    for text in rest:
        key, separator, value = text.partition(":=")
        if not separator:
            raise ArgumentError(f"{text!r} is not of the form name:=value")
        given[key] = value
    return graph.LAUNCH_FILES[name], given


def _show_arguments(file: graph.LaunchFile) -> None:
    print("Arguments (pass as NAME:=VALUE):")
    for argument in file.arguments:
        print(f"\n    '{argument.name}':\n        {argument.description}")
        print(f"        (default: {file.default(argument)!r})")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console command; returns the exit status: 2 if the command line is wrong."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    show = "--show-args" in arguments
    arguments = [argument for argument in arguments if argument != "--show-args"]
    asked = not {"-h", "--help"}.isdisjoint(arguments)
    if asked or not arguments:
        usage = _USAGE.format(files=", ".join(graph.LAUNCH_FILES))
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    try:
        file, given = _parse(arguments)
        if show:
            _show_arguments(file)
            return 0
        built = file.graph(given)
    except (ArgumentError, FileNotFoundError) as error:
        print(f"vla-launch: {error}", file=sys.stderr)
        return 2
    if found := unusable(os.environ):
        print(*(f"vla-launch: {each}" for each in found), sep="\n", file=sys.stderr)
        return 1
    for warning in built.warnings:
        print(f"vla-launch: WARN: {warning}", file=sys.stderr)
    return Launcher(built).run()


if __name__ == "__main__":
    sys.exit(main())

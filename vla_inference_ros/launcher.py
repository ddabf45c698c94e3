"""vla-launch: runs the launch files' graph where launch_ros is not installed.

Owns the child processes: starts them, passes their output on, and leaves none behind.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from vla_inference_ros import graph

_USAGE = """usage: vla-launch [-h] [--show-args] FILE [NAME:=VALUE ...]

Run the nodes of a launch file of this package, as 'ros2 launch vla_inference_ros FILE' would.
FILE is one of: {files}
Ctrl+C stops all nodes. The exit status is 0 unless a node has died or an argument is wrong."""

_INTERRUPT_TIME = 2.2  # how long nodes may take to end before they are killed [s]
_LOOK_PERIOD = 0.1  # [s]
_PR_SET_PDEATHSIG = 1  # prctl(2): a signal to the child when its parent dies


@dataclass(slots=True)
class _Child:
    """One running node and the unfinished line of its output."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    rest: bytes = b""
    restart_at: float | None = None


@dataclass(slots=True)
class Launcher:
    """Runs a graph; :meth:`run` returns when all of its nodes have ended."""

    graph: graph.Graph
    _children: list[_Child] = field(default_factory=list)
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _stop_signal: int | None = None

    def run(self) -> int:
        """The exit status: 0, or 1 if a node has died or had to be killed."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note_signal)
        status: int | None = None
        try:
            for index, node in enumerate(self.graph.nodes, start=1):
                self._start(f"{node.name}-{index}", _command(node, self.graph.params_file))
            while self._stop_signal is None and status is None:
                self._pass_output()
                status = self._look_after_children()
            if self._stop_signal is not None:
                _say(f"{signal.Signals(self._stop_signal).name}: stopping")
        finally:
            clean = self._stop()
        return status or (0 if clean else 1)

    def _note_signal(self, number: int, _: object) -> None:
        self._stop_signal = number

    def _start(self, name: str, command: list[str]) -> None:
        child = _Child(name, command, _spawn(command))
        self._children.append(child)
        self._selector.register(_output(child), selectors.EVENT_READ, child)
        _say(f"started {name}, process {child.process.pid}")

    def _pass_output(self) -> None:
        for key, _ in self._selector.select(_LOOK_PERIOD):
            child: _Child = key.data
            data = os.read(key.fd, 65536)
            if not data:
                self._selector.unregister(key.fileobj)
                continue
            *lines, child.rest = (child.rest + data).split(b"\n")
            for line in lines:
                _write(f"[{child.name}] {line.decode(errors='replace')}")

    def _look_after_children(self) -> int | None:
        """Restart what has died, if the graph says so; otherwise, and when a node has done what
        it was asked to, the exit status to stop with.
        """
        for child in self._children:
            status = child.process.poll()
            if status is None:
                continue
            if child.restart_at is None:
                self._drain(child)
                if status == 0:
                    _say(f"{child.name} has ended: stopping")
                    return 0
                _say(f"{child.name} died: {_describe(status)}")
                if not self.graph.respawn:
                    return 1
                child.restart_at = time.monotonic() + graph.RESPAWN_DELAY
            elif time.monotonic() >= child.restart_at:
                child.restart_at = None
                child.process = _spawn(child.command)
                self._selector.register(_output(child), selectors.EVENT_READ, child)
                _say(f"restarted {child.name}, process {child.process.pid}")
        return None

    def _drain(self, child: _Child) -> None:
        """Print what a dead child still had to say."""
        while _output(child) in (key.fileobj for key in self._selector.get_map().values()):
            self._pass_output()
        if child.rest:
            _write(f"[{child.name}] {child.rest.decode(errors='replace')}")
            child.rest = b""

    def _stop(self) -> bool:
        """Stop all children; False if one had to be killed or ended badly while stopping."""
        running = [child for child in self._children if child.process.poll() is None]
        for child in running:
            child.process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + _INTERRUPT_TIME
        while time.monotonic() < deadline and any(c.process.poll() is None for c in running):
            self._pass_output()
        for child in running:
            if child.process.poll() is None:
                _say(f"{child.name} did not stop in {_INTERRUPT_TIME} s: killed")
                child.process.kill()
            child.process.wait()
        while self._selector.get_map():  # all are dead: read to the ends of their pipes
            self._pass_output()
        # A node that had not finished starting ends by the signal itself, which is as good.
        failed = [c for c in running if c.process.returncode not in (0, -signal.SIGINT)]
        for child in failed:
            _say(f"{child.name} ended badly: {_describe(child.process.returncode)}")
        return not failed


def _command(node: graph.NodeSpec, params_file: Path) -> list[str]:
    executable = graph.prefix() / "lib" / graph.PACKAGE / node.name
    command = [str(executable), "--ros-args", "--params-file", str(params_file)]
    for name, value in node.parameters.items():
        command += ["-p", f"{name}:={json.dumps(value)}"]  # JSON is YAML, which ROS reads
    return command


def _spawn(command: list[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl+C reaches the launcher alone, which tells the children once.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def _die_with_parent() -> None:
    """In the child: end even if the launcher is killed without a chance to say so."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _output(child: _Child) -> IO[bytes]:
    assert child.process.stdout is not None
    return child.process.stdout


def _describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _say(text: str) -> None:
    _write(f"[vla-launch] {text}")


def _write(line: str) -> None:
    print(line, flush=True)


def _parse(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """(launch file, arguments given), with what the launch file itself gives."""
    file, *rest = arguments
    name = Path(file).name
    if name not in graph.LAUNCH_FILES:
        raise graph.ArgumentError(
            f"unknown launch file {file!r}; known are {', '.join(graph.LAUNCH_FILES)}"
        )
    given = dict(graph.LAUNCH_FILES[name])
    for text in rest:
        key, separator, value = text.partition(":=")
        if not separator:
            raise graph.ArgumentError(f"{text!r} is not of the form name:=value")
        given[key] = value
    return name, given


def _show_arguments(preset: dict[str, str]) -> None:
    print("Arguments (pass as NAME:=VALUE):")
    for argument in graph.ARGUMENTS:
        default = preset.get(argument.name, argument.default)
        print(f"\n    '{argument.name}':\n        {argument.description}")
        print(f"        (default: {default!r})")


def main(arguments: Sequence[str] | None = None) -> int:
    """The console command; returns the exit status: 2 if the command line is wrong."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    show = "--show-args" in arguments
    arguments = [argument for argument in arguments if argument != "--show-args"]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE.format(files=", ".join(graph.LAUNCH_FILES)))
        return 0 if arguments else 2
    try:
        name, given = _parse(arguments)
        if show:
            _show_arguments(graph.LAUNCH_FILES[name])
            return 0
        built = graph.build(given)
    except graph.ArgumentError as error:
        print(f"vla-launch: {error}", file=sys.stderr)
        return 2
    return Launcher(built).run()


if __name__ == "__main__":
    sys.exit(main())

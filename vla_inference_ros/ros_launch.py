"""What the launch files describe to ``ros2 launch``: the graph of graph.py.

``ros2 bag`` records and plays bags here, where it is installed; the package's own nodes do
elsewhere. The counterpart without ROS's launch is launcher.py.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from vla_inference_ros import graph, mistyped, rosbag2, watching
from vla_inference_ros.launch_arguments import BAG_PLAYER, BAG_RECORDER
from vla_inference_ros.recording.appending import MOST_BYTES

_LAST_MOMENT = 1.0  # for what was inferred from a bag's last message [s]
_down: set[str] = set()  # guests that have died and are not back yet


def description(name: str) -> LaunchDescription:
    """Of the launch file with this name."""
    file = graph.LAUNCH_FILES[name]
    names = {argument.name for argument in file.arguments}
    given: dict[str, str] = {}

    def note_given(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Before the defaults are declared, only what the user gave is configured, and what a
        launch file that includes this one has declared for itself.
        """
        configured = dict(context.launch_configurations)
        others = mistyped.strange(configured, names)
        itself = mistyped.is_run_itself(
            sys.argv[1:], graph.PACKAGE, graph.share() / "launch" / name
        )
        given.update(
            {k: v for k, v in configured.items() if k in names or (itself and k in others)}
        )
        if itself:
            return []
        near = {other: mistyped.nearest(other, names) for other in others}
        return [
            LogInfo(msg=f"{name} has no argument {other!r}: if it was meant, it is called {meant}")
            for other, meant in near.items()
            if meant
        ]

    def start(_: LaunchContext) -> list[LaunchDescriptionEntity]:
        built = file.graph(given)
        return [
            *(LogInfo(msg=f"WARN: {warning}") for warning in built.warnings),
            *(SetEnvironmentVariable(name, value) for name, value in built.environment.items()),
            *(action for node in built.nodes for action in _actions(node, built)),
            *(action for name in built.tools for action in _guests(name)),
        ]

    return LaunchDescription(
        [
            OpaqueFunction(function=note_given),
            *(
                DeclareLaunchArgument(
                    a.name, default_value=file.default(a), description=a.description
                )
                for a in file.arguments
            ),
            OpaqueFunction(function=start),
        ]
    )


def _actions(node: graph.NodeSpec, built: graph.Graph) -> list[LaunchDescriptionEntity]:
    if node.name == BAG_RECORDER and rosbag2.is_installed():
        # Also when it says that all is well: nobody has asked it to end.
        return [_Guest(partial(_bag_record, node, built), may_end=False).action()]
    if node.name == BAG_PLAYER and rosbag2.is_installed():
        bag = Path(str(node.parameters["bag"])).expanduser()
        if rosbag2.can_play(bag):
            return _bag_play(node, built.params_file, bag)
    if node.is_guest:
        make = partial(_node, node, built.params_file, False)
        return [_Guest(make, tells_end=node.tells_end).action()]
    return [_node(node, built.params_file, built.respawn)]


class _Guest:
    """What no chunk depends on: when it dies it is started again, and all else runs on.

    launch's own respawn would start it also after it has ended well, and without growing pauses.
    """

    def __init__(
        self, make: Callable[[Any], ExecuteProcess], may_end: bool = True, tells_end: bool = False
    ) -> None:
        """``make`` gives its process, with what is to be done at its exit. It ``may_end`` well, and
        then perhaps tells the others to end.
        """
        self._make, self._may_end, self._tells_end = make, may_end, tells_end
        self._deaths = 0
        self._started = 0.0

    def action(self) -> ExecuteProcess:
        """Its process, the next one each time."""
        self._started = time.monotonic()
        return self._make(self._on_exit)

    def _on_exit(
        self, event: ProcessExited, context: LaunchContext
    ) -> list[LaunchDescriptionEntity]:
        is_end = event.returncode == 0 and self._may_end
        ends_all = self._tells_end and event.returncode in (0, graph.NO_CHUNK)
        if context.is_shutdown or ends_all:
            return _end_all(event, context)
        if is_end:
            return []
        long_ago = time.monotonic() - self._started > graph.RECOVERED_AFTER
        self._deaths = 1 if long_ago else self._deaths + 1
        return _later(graph.guest_delay(self._deaths), event, self.action)


def _later(
    delay: float, event: ProcessExited, action: Callable[[], LaunchDescriptionEntity]
) -> list[LaunchDescriptionEntity]:
    """Start a guest that has died again."""

    def start(_: LaunchContext) -> list[LaunchDescriptionEntity]:
        _down.discard(event.process_name)
        return [action()]

    _down.add(event.process_name)
    message = f"{event.process_name} died with exit code {event.returncode}, and is started again "
    return [
        LogInfo(msg=f"{message}in {delay:g} s: all else runs on"),
        TimerAction(period=delay, actions=[OpaqueFunction(function=start)]),
    ]


def _node(
    node: graph.NodeSpec, params_file: Path, respawn: bool = False, on_exit: Any = None
) -> Node:
    # Typed: untyped text is read as YAML, where an instruction "yes" is a truth value.
    overrides = {k: ParameterValue(v, value_type=type(v)) for k, v in node.parameters.items()}
    return Node(
        package=graph.PACKAGE,
        executable=node.name,
        parameters=[str(params_file), overrides],
        output="screen",
        respawn=respawn,
        respawn_delay=graph.RESPAWN_DELAY,
        on_exit=None if respawn else on_exit or _end_all,
    )


def _guests(name: str) -> list[LaunchDescriptionEntity]:
    """The programs of a stock tool. Nothing ends with one of them; one that is not installed is
    told of.
    """
    plan = watching.plan(watching.tool(name))
    actions: list[LaunchDescriptionEntity] = [LogInfo(msg=line) for line in plan.complaints]
    for program in plan.programs:
        guest = Node(
            package=program.package,
            executable=program.executable,
            arguments=list(program.arguments),
            ros_arguments=list(program.ros_arguments),
            output="screen",
        )
        is_late = program.delay > 0
        actions.append(TimerAction(period=program.delay, actions=[guest]) if is_late else guest)
    return actions


def _bag_record(node: graph.NodeSpec, built: graph.Graph, on_exit: Any) -> ExecuteProcess:
    """``ros2 bag record`` with the parameters of the package's own recorder that it knows; a new
    bag each time, named after now.
    """
    folder = node.parameters.get("output_dir", _parameter(built.params_file, node, "output_dir"))
    size = _parameter(built.params_file, node, "max_bag_size")
    command = rosbag2.record(
        Path(str(folder or ".")).expanduser(),
        time.time(),
        bool(node.parameters.get("use_sim_time")),
        MOST_BYTES if size is None else int(size),
        int(_parameter(built.params_file, node, "max_bag_duration") or 0),
    )
    return _process(command, "bag_record", on_exit=on_exit)


def _bag_play(node: graph.NodeSpec, params_file: Path, bag: Path) -> list[LaunchDescriptionEntity]:
    """``ros2 bag play``, paused until the package's own player finds that all are ready."""
    rate = float(node.parameters.get("rate", _parameter(params_file, node, "rate") or 1.0))
    waiting = graph.NodeSpec(node.name, {**node.parameters, "plays": False})

    def resume(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if event.returncode != 0 or context.is_shutdown:
            return _end_all(event, context)
        return [_process(list(rosbag2.RESUME), "bag_resume", on_exit=_fail)]

    return [
        _process(
            rosbag2.play(bag, rate), "bag_play", on_exit=partial(_end_all, after=_LAST_MOMENT)
        ),
        _node(waiting, params_file, on_exit=resume),
    ]


def _process(command: list[str], name: str, on_exit: Any) -> ExecuteProcess:
    return ExecuteProcess(cmd=command, name=name, output="screen", on_exit=on_exit)


def _parameter(params_file: Path, node: graph.NodeSpec, name: str) -> Any:
    """A node's parameter in the file; None if the file does not have it."""
    nodes = yaml.safe_load(params_file.read_text(encoding="utf-8")) or {}
    return nodes.get(node.name, {}).get("ros__parameters", {}).get(name)


def _end_all(
    event: ProcessExited, context: LaunchContext, after: float = 0.0
) -> list[LaunchDescriptionEntity]:
    """Nothing runs on without a process, but for so many seconds; one that died makes the exit
    status 1.
    """
    _fail(event, context)
    if context.is_shutdown:
        return []
    end = Shutdown(reason=f"{event.process_name} has ended")
    return [TimerAction(period=after, actions=[end])] if after else [end]


def _fail(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """An exception is the only way to the exit status 1: after Shutdown alone ``ros2 launch``
    returns 0.
    """
    if context.is_shutdown and _down:
        names = ", ".join(sorted(_down))
        _down.clear()  # told once
        raise RuntimeError(f"{names} had died and was not brought back")
    # What has not finished starting ends by Ctrl+C's signal itself, which is as good; the command
    # ros2 then returns the signal's number.
    by_signal = event.returncode in (-signal.SIGINT, signal.SIGINT)
    if event.returncode == graph.NO_CHUNK:
        raise RuntimeError(f"{event.process_name} has ended, without an action chunk")
    if event.returncode != 0 and not (context.is_shutdown and by_signal):
        raise RuntimeError(f"{event.process_name} died with exit code {event.returncode}")
    return []

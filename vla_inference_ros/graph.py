"""Which nodes run with what parameters: the one description behind the launch files and vla-launch.

Imports no ROS and no node, so that launching stays quick.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vla_inference_ros.launch_arguments import (
    ARGUMENTS,
    BAG_PLAYER,
    BAG_RECORDER,
    CHUNK_VIEWER,
    EVERY_NODE,
    FAULT_NODE,
    RECORDER,
    REPLAY_ARGUMENTS,
    TOOLS,
    WEB_VIEW,
    Argument,
    ArgumentError,
    Value,
)
from vla_inference_ros.mistyped import unknown
from vla_inference_ros.params_file import mistyped_names

PACKAGE = "vla_inference_ros"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process: executable and node have the same name; ``parameters`` override the file.

    When one ends, all end, but not with a guest, which only watches or records: no chunk depends on
    it, and when it dies it is started again. A node that ``tells_end`` ends all by ending well.
    """

    name: str
    parameters: dict[str, Value] = field(default_factory=dict)
    is_guest: bool = False
    tells_end: bool = True


@dataclass(frozen=True, slots=True)
class Graph:
    """What to run: the nodes with their parameters file, and whether to restart what dies."""

    nodes: tuple[NodeSpec, ...]
    params_file: Path
    respawn: bool
    tools: tuple[str, ...] = ()  # guests, by argument: see watching.py
    environment: Mapping[str, str] = field(default_factory=dict)  # of the nodes, beside our own
    warnings: tuple[str, ...] = ()  # what a person should know before all starts


# Those that take longest to start come first.
NODES = ("vlm", "action_expert", "camera_bridge", "robot_bridge", "sensor_bridge", "monitor")
SIM_NODES = ("sim_camera", "sim_robot", "sim_sensor")
REPLAYED_NODES = ("vlm", "action_expert", "monitor")  # whose inputs are played
VIEWERS = (WEB_VIEW, CHUNK_VIEWER)
GUESTS = ("monitor", RECORDER, BAG_RECORDER, *VIEWERS)
ALL_NODES = (*NODES, RECORDER, BAG_RECORDER, BAG_PLAYER, *VIEWERS, *SIM_NODES, FAULT_NODE)
# Where the simulated senders send to, or are heard, with the fault injector behind them.
FAULT_PORTS = {"sim_camera": 15555, "sim_robot": 15556, "sim_sensor": 19999}
RESPAWN_DELAY = 1.0  # [s]
NO_CHUNK = 69  # sysexits.h: unavailable; the monitor's status when a run has never acted
MESSAGE_BYTES = "VLA_MESSAGE_BYTES"  # the variable that tells nodes what message_bytes is
RUN_ID = "VLA_RUN_ID"  # the variable that tells nodes which run they are of
_LONGEST_DELAY = 30.0  # of a guest that dies again and again [s]
RECOVERED_AFTER = 60.0  # without a death, the next is the first again [s]


def guest_delay(deaths: int) -> float:
    """How long after its so-manieth death in a row a guest is started again [s]."""
    return min(RESPAWN_DELAY * 2.0 ** min(deaths - 1, 10), _LONGEST_DELAY)


def prefix() -> Path:
    """The folder that the package is installed in, with ``lib`` and ``share`` in it."""
    for folder in Path(__file__).parents:
        if (folder / "share" / PACKAGE / "package.xml").is_file():
            return folder
    raise FileNotFoundError(
        f"{__file__} is not part of an installation: build the package with colcon or pip first"
    )


def share() -> Path:
    """The package's share folder: launch files and configuration."""
    return prefix() / "share" / PACKAGE


def build(given: Mapping[str, str]) -> Graph:
    """The whole graph for the arguments that were given, by name; raises ArgumentError."""
    values = _values(ARGUMENTS, given)
    if values["faults"] and not values["sim"]:
        raise ArgumentError(
            "argument faults:=true needs sim:=true: point real senders at a fault_injector of "
            "your own instead"
        )
    overrides = _overrides(ARGUMENTS, given, values)
    names = NODES + _optional(values)
    names += SIM_NODES if values["sim"] else ()
    if values["faults"]:
        names += (FAULT_NODE,)
        for node, port in FAULT_PORTS.items():
            overrides.setdefault(node, {})["port"] = port
    return _graph(names, overrides, values, respawn=bool(values["respawn"]))


def build_replay(given: Mapping[str, str]) -> Graph:
    """The nodes that infer, by simulated time, and the player of their inputs; likewise.

    Nothing is restarted: a player that began again would turn time back.
    """
    values = _values(REPLAY_ARGUMENTS, given)
    if not values["bag"]:
        raise ArgumentError("argument bag:= is missing: name a bag or a run folder")
    if not Path(str(values["bag"])).expanduser().exists():
        raise ArgumentError(f"argument bag:={values['bag']}: there is no such file or folder")
    overrides = _overrides(REPLAY_ARGUMENTS, given, values)
    names = REPLAYED_NODES + _optional(values)
    for name in names:
        overrides.setdefault(name, {})["use_sim_time"] = True
    return _graph((*names, BAG_PLAYER), overrides, values, respawn=False)


def _values(arguments: Sequence[Argument], given: Mapping[str, str]) -> dict[str, Value]:
    """Every argument's value."""
    known = {argument.name for argument in arguments}
    others = sorted(set(given) - known)
    if others:
        raise ArgumentError(unknown("argument", others[0], known))
    return {a.name: a.value(given.get(a.name, a.default)) for a in arguments}


def _overrides(
    arguments: Sequence[Argument], given: Mapping[str, str], values: Mapping[str, Value]
) -> dict[str, dict[str, Value]]:
    """The parameters that what was given overrides, by node."""
    overrides: dict[str, dict[str, Value]] = {}
    for argument in arguments:
        if argument.name in given:
            for target, parameter in argument.targets:
                for node in ALL_NODES if target == EVERY_NODE else (target,):
                    overrides.setdefault(node, {})[parameter] = values[argument.name]
    return overrides


def _optional(values: Mapping[str, Value]) -> tuple[str, ...]:
    """The nodes that an argument adds to any graph."""
    wanted = {
        RECORDER: ("save_data",),
        BAG_RECORDER: ("record",),
        WEB_VIEW: ("web",),
        CHUNK_VIEWER: ("rviz", "foxglove"),  # what it makes of chunks is for these
    }
    return tuple(
        node for node, arguments in wanted.items() if any(values[name] for name in arguments)
    )


def _graph(
    names: Sequence[str],
    overrides: Mapping[str, dict[str, Value]],
    values: Mapping[str, Value],
    *,
    respawn: bool,
) -> Graph:
    given = str(values["params_file"])
    defaults = share() / "config" / "async.yaml"
    params_file = Path(given).expanduser() if given else defaults
    if not params_file.is_file():
        raise ArgumentError(f"argument params_file:={params_file}: there is no such file")
    warnings = tuple(mistyped_names(params_file, defaults)) if given else ()
    nodes = tuple(
        NodeSpec(
            name,
            overrides.get(name, {}),
            is_guest=name in GUESTS,
            tells_end=name not in GUESTS or name == "monitor",  # when its duration is over
        )
        for name in names
    )
    tools = tuple(name for name in TOOLS if values[name])
    size = values["message_bytes"]
    # One that is set already joins the launches of several machines to one run.
    environment = {RUN_ID: os.environ.get(RUN_ID) or secrets.token_hex(8)}
    environment |= {MESSAGE_BYTES: str(size)} if size else {}
    return Graph(nodes, params_file, respawn, tools, environment, warnings)


@dataclass(frozen=True, slots=True)
class LaunchFile:
    """What a launch file runs; ``preset`` is what it sets differently from the defaults of its
    ``arguments``.
    """

    arguments: tuple[Argument, ...]
    build: Callable[[Mapping[str, str]], Graph]
    preset: Mapping[str, str] = field(default_factory=dict)

    def default(self, argument: Argument) -> str:
        """An argument's default in this file."""
        return self.preset.get(argument.name, argument.default)

    def graph(self, given: Mapping[str, str]) -> Graph:
        """The graph for the arguments that were given, by name; raises ArgumentError."""
        return self.build({**self.preset, **given})


LAUNCH_FILES = {
    "async.launch.py": LaunchFile(ARGUMENTS, build),
    "demo.launch.py": LaunchFile(ARGUMENTS, build, {"model": "tiny", "sim": "true"}),
    "replay.launch.py": LaunchFile(REPLAY_ARGUMENTS, build_replay),
}

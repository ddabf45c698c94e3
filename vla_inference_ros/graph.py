"""Which nodes run with what parameters: the one description behind the launch files and vla-launch.

Imports no ROS and no node, so that launching stays quick. An argument that is given overrides the
parameters file; one that is not leaves the file's value, so the defaults here are documentation of
what ``config/async.yaml`` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "vla_inference_ros"

Value = bool | int | float | str


class ArgumentError(ValueError):
    """A launch argument is unknown or has a value that cannot be used; the message names it."""


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise ValueError("not true or false")
    return values[text.lower()]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("not a whole number") from None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _positive(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise ValueError("not more than 0")
    return value


@dataclass(frozen=True, slots=True)
class Argument:
    """A launch argument; ``targets`` are the (node, parameter) pairs that its value goes to."""

    name: str
    default: str
    description: str
    read: Callable[[str], Value] = str
    targets: tuple[tuple[str, str], ...] = ()

    def value(self, text: str) -> Value:
        """The typed value; ArgumentError if ``text`` is none."""
        try:
            return self.read(text)
        except ValueError as error:
            raise ArgumentError(f"argument {self.name}:={text} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One process: executable and node have the same name; ``parameters`` override the file."""

    name: str
    parameters: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """What to run: the nodes with their parameters file, and whether to restart what dies.

    A node that ends without an error, as the monitor does when the duration is over, ends all.
    """

    nodes: tuple[NodeSpec, ...]
    params_file: Path
    respawn: bool


# Those that take longest to start come first.
NODES = ("vlm", "action_expert", "camera_bridge", "robot_bridge", "sensor_bridge", "monitor")
SIM_NODES = ("sim_camera", "sim_robot", "sim_sensor")
FAULT_NODE = "fault_injector"
RECORDER = "recorder"
BAG_RECORDER = "bag_recorder"
BAG_PLAYER = "bag_player"
REPLAYED_NODES = ("vlm", "action_expert", "monitor")  # whose inputs are played
ALL_NODES = (*NODES, RECORDER, BAG_RECORDER, BAG_PLAYER, *SIM_NODES, FAULT_NODE)
# Where the simulated senders send to, or are heard, with the fault injector behind them.
FAULT_PORTS = {"sim_camera": 15555, "sim_robot": 15556, "sim_sensor": 19999}
RESPAWN_DELAY = 1.0  # [s]

ARGUMENTS = (
    Argument(
        "checkpoint",
        "",
        "trained weights (.pt, .safetensors): sensor encoder, action expert, and the VLM's if any",
        targets=(("vlm", "checkpoint"), ("action_expert", "checkpoint")),
    ),
    Argument(
        "fusion_strategy",
        "concat",
        "how the checkpoint joins its features: concat, cross_attention, gated or none",
        targets=(("action_expert", "fusion_strategy"),),
    ),
    Argument(
        "model",
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "a hub id, a local folder, tiny (small, random weights) or stub (no network)",
        targets=(("vlm", "model"), ("action_expert", "model")),
    ),
    Argument(
        "device",
        "auto",
        "torch device: auto, cpu, cuda or cuda:N",
        targets=(("vlm", "device"), ("action_expert", "device")),
    ),
    Argument(
        "dtype",
        "auto",
        "precision of the weights: auto, float32, bfloat16, float16 or float8",
        targets=(("vlm", "dtype"), ("action_expert", "dtype")),
    ),
    Argument(
        "instruction",
        "Perform needle insertion into the eye",
        "the prompt; /vla/instruction changes it while running",
        targets=(("vlm", "instruction"),),
    ),
    Argument(
        "vl_reuse",
        "4",
        "action chunks for one VLM update",
        _whole,
        (("vlm", "vl_reuse"), ("action_expert", "vl_reuse")),
    ),
    Argument(
        "action_rate",
        "10.0",
        "action chunks per second [Hz]",
        _number,
        (("vlm", "action_rate"), ("action_expert", "action_rate")),
    ),
    Argument(
        "robot_host",
        "127.0.0.1",
        "host of the robot sender (the rig's is 10.130.41.111)",
        targets=(("robot_bridge", "host"),),
    ),
    Argument(
        "robot_port",
        "5556",
        "TCP port of the robot sender",
        _whole,
        (("robot_bridge", "port"), ("sim_robot", "port"), (FAULT_NODE, "robot_port")),
    ),
    Argument(
        "camera_port",
        "5555",
        "TCP port that the cameras push to",
        _whole,
        (("camera_bridge", "port"), ("sim_camera", "port"), (FAULT_NODE, "camera_port")),
    ),
    Argument(
        "sensor_port",
        "9999",
        "UDP port that the sensor sends to",
        _whole,
        (("sensor_bridge", "port"), ("sim_sensor", "port"), (FAULT_NODE, "sensor_port")),
    ),
    Argument("sim", "false", "also start simulated senders on real sockets", _boolean),
    Argument(
        "faults",
        "false",
        "put the fault injector between the simulated senders and the bridges",
        _boolean,
    ),
    Argument("save_data", "false", "save a run folder: pictures, CSV, NPZ, JSON", _boolean),
    Argument("record", "false", "record a bag: bag_<start> in output_dir", _boolean),
    Argument(
        "output_dir",
        ".",
        "folder in which save_data and record make theirs",
        targets=((RECORDER, "output_dir"), (BAG_RECORDER, "output_dir")),
    ),
    Argument(
        "duration",
        "0.0",
        "stop so many seconds after the first action chunk; 0 runs until Ctrl+C",
        _number,
        (("monitor", "duration"),),
    ),
    Argument("respawn", "false", "restart a node that dies instead of stopping all", _boolean),
    Argument("params_file", "", "parameters of all nodes; empty for the package's async.yaml"),
)

_REPLAYED = (
    *("checkpoint", "fusion_strategy", "model", "device", "dtype", "instruction", "vl_reuse"),
    *("action_rate", "save_data", "record", "output_dir", "duration", "params_file"),
)
REPLAY_ARGUMENTS = (
    Argument(
        "bag",
        "",
        "a bag or a run folder, whose inputs are played; must be given",
        targets=((BAG_PLAYER, "bag"),),
    ),
    Argument(
        "rate",
        "1.0",
        "how many times as fast as it was recorded",
        _positive,
        ((BAG_PLAYER, "rate"),),
    ),
    *(argument for argument in ARGUMENTS if argument.name in _REPLAYED),
)


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
    names = NODES + _recorders(values)
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
    names = REPLAYED_NODES + _recorders(values)
    for name in names:
        overrides.setdefault(name, {})["use_sim_time"] = True
    return _graph((*names, BAG_PLAYER), overrides, values, respawn=False)


def _values(arguments: Sequence[Argument], given: Mapping[str, str]) -> dict[str, Value]:
    """Every argument's value."""
    known = {argument.name for argument in arguments}
    unknown = sorted(set(given) - known)
    if unknown:
        raise ArgumentError(
            f"unknown argument {unknown[0]!r}; known are {', '.join(sorted(known))}"
        )
    return {a.name: a.value(given.get(a.name, a.default)) for a in arguments}


def _overrides(
    arguments: Sequence[Argument], given: Mapping[str, str], values: Mapping[str, Value]
) -> dict[str, dict[str, Value]]:
    """The parameters that what was given overrides, by node."""
    overrides: dict[str, dict[str, Value]] = {}
    for argument in arguments:
        if argument.name in given:
            for node, parameter in argument.targets:
                overrides.setdefault(node, {})[parameter] = values[argument.name]
    return overrides


def _recorders(values: Mapping[str, Value]) -> tuple[str, ...]:
    wanted = ((RECORDER, values["save_data"]), (BAG_RECORDER, values["record"]))
    return tuple(name for name, is_wanted in wanted if is_wanted)


def _graph(
    names: Sequence[str],
    overrides: Mapping[str, dict[str, Value]],
    values: Mapping[str, Value],
    *,
    respawn: bool,
) -> Graph:
    given = str(values["params_file"])
    params_file = Path(given).expanduser() if given else share() / "config" / "async.yaml"
    if not params_file.is_file():
        raise ArgumentError(f"argument params_file:={params_file}: there is no such file")
    nodes = tuple(NodeSpec(name, overrides.get(name, {})) for name in names)
    return Graph(nodes=nodes, params_file=params_file, respawn=respawn)


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

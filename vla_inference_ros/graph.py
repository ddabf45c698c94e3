"""Which nodes run with what parameters: the one description behind the launch files and vla-launch.

Imports no ROS and no node, so that launching stays quick. An argument that is given overrides the
parameters file; one that is not leaves the file's value, so the defaults here are documentation of
what ``config/async.yaml`` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
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
ALL_NODES = (*NODES, RECORDER, *SIM_NODES, FAULT_NODE)
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
        int,
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
        int,
        (("robot_bridge", "port"), ("sim_robot", "port"), (FAULT_NODE, "robot_port")),
    ),
    Argument(
        "camera_port",
        "5555",
        "TCP port that the cameras push to",
        int,
        (("camera_bridge", "port"), ("sim_camera", "port"), (FAULT_NODE, "camera_port")),
    ),
    Argument(
        "sensor_port",
        "9999",
        "UDP port that the sensor sends to",
        int,
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
    Argument(
        "output_dir",
        ".",
        "folder in which save_data makes its own",
        targets=((RECORDER, "output_dir"),),
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

# The launch files: what each sets differently from the arguments' defaults.
LAUNCH_FILES: dict[str, dict[str, str]] = {
    "async.launch.py": {},
    "demo.launch.py": {"model": "tiny", "sim": "true"},
}


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
    """The graph for the arguments that were given, by name; raises ArgumentError."""
    arguments = {argument.name: argument for argument in ARGUMENTS}
    unknown = sorted(set(given) - set(arguments))
    if unknown:
        raise ArgumentError(
            f"unknown argument {unknown[0]!r}; known are {', '.join(sorted(arguments))}"
        )
    values = {name: a.value(given.get(name, a.default)) for name, a in arguments.items()}
    if values["faults"] and not values["sim"]:
        raise ArgumentError(
            "argument faults:=true needs sim:=true: point real senders at a fault_injector of "
            "your own instead"
        )
    params_file = Path(str(values["params_file"]) or share() / "config" / "async.yaml")
    if not params_file.is_file():
        raise ArgumentError(f"argument params_file:={params_file}: there is no such file")
    overrides: dict[str, dict[str, Value]] = {}
    for name in given:
        for node, parameter in arguments[name].targets:
            overrides.setdefault(node, {})[parameter] = values[name]
    names = NODES + ((RECORDER,) if values["save_data"] else ())
    names += SIM_NODES if values["sim"] else ()
    if values["faults"]:
        names += (FAULT_NODE,)
        for node, port in FAULT_PORTS.items():
            overrides.setdefault(node, {})["port"] = port
    return Graph(
        nodes=tuple(NodeSpec(name, overrides.get(name, {})) for name in names),
        params_file=params_file,
        respawn=bool(values["respawn"]),
    )

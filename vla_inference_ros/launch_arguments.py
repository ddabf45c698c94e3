"""The launch arguments: their names, defaults, meanings, and the parameters that they go to.

An argument that is given overrides the parameters file; one that is not leaves the file's value, so
the defaults here are documentation of what ``config/async.yaml`` holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from vla_inference_ros.core.console import VERBOSITIES
from vla_inference_ros.nodes.dds_profile import message_bytes

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


def _between(
    read: Callable[[str], int | float], low: float, high: float
) -> Callable[[str], int | float]:
    """A reader of numbers from ``low`` to ``high``, both included."""

    def bounded(text: str) -> int | float:
        value = read(text)
        if not low <= value <= high:
            raise ValueError(f"not from {low:g} to {high:.10g}")
        return value

    return bounded


def _one_of(*choices: str) -> Callable[[str], str]:
    def chosen(text: str) -> str:
        if text not in choices:
            raise ValueError(f"not one of {', '.join(choices)}")
        return text

    return chosen


# A value that its node would refuse is refused before anything starts: a guest that cannot start
# is started again for ever, and never does what it was asked for.
_port = _between(_whole, 1, 65535)


def _message_bytes(text: str) -> int:
    return message_bytes(text) if text else 0  # as the profile has it


EVERY_NODE = "*"  # as an argument's target: all nodes that run


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


# Nodes that are not in every graph.
FAULT_NODE = "fault_injector"
RECORDER = "recorder"
BAG_RECORDER = "bag_recorder"
BAG_PLAYER = "bag_player"
WEB_VIEW = "web_view"
CHUNK_VIEWER = "chunk_viewer"
# The arguments that start a stock tool beside the nodes; what each starts is in watching.py.
TOOLS = {
    "rviz": "also start rviz2: views, robot pose and predicted path",
    "rqt": "also start rqt: views, plots and grouped diagnostics",
    "foxglove": "also start foxglove_bridge, for Foxglove on this machine",
    "plotjuggler": "also start PlotJuggler: plots of actions, force, latencies and state",
}

ARGUMENTS = (
    Argument(
        "checkpoint",
        "",
        "trained weights (.pt, .safetensors): sensor encoder, action expert, and the VLM's if any",
        targets=(("vlm", "checkpoint"), ("action_expert", "checkpoint")),
    ),
    Argument(
        "adapter_config",
        "",
        "PEFT's adapter_config.json of the checkpoint's LoRA, if it is not beside it",
        targets=(("vlm", "adapter_config"),),
    ),
    Argument(
        "lora_alpha",
        "0.0",
        "alpha of the checkpoint's LoRA; 0: as adapter_config says, or 32 for rank 16 without",
        _between(_number, 0.0, 1e6),
        (("vlm", "lora_alpha"),),
    ),
    Argument(
        "fusion_strategy",
        "concat",
        "how the checkpoint joins its features: concat, cross_attention, gated or none",
        _one_of("concat", "cross_attention", "gated", "none"),
        (("action_expert", "fusion_strategy"),),
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
        _one_of("auto", "float32", "bfloat16", "float16", "float8"),
        (("vlm", "dtype"), ("action_expert", "dtype")),
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
        _between(_whole, 1, 1000),
        (("vlm", "vl_reuse"), ("action_expert", "vl_reuse")),
    ),
    Argument(
        "action_rate",
        "10.0",
        "action chunks per second [Hz]",
        _between(_number, 0.1, 1000.0),
        (("vlm", "action_rate"), ("action_expert", "action_rate")),
    ),
    Argument(
        "robot_host",
        "127.0.0.1",
        "host of the robot sender (the rig's is 10.130.41.111); IPv6 too, such as ::1",
        targets=(("robot_bridge", "host"),),
    ),
    Argument(
        "robot_port",
        "5556",
        "TCP port of the robot sender",
        _port,
        (("robot_bridge", "port"), ("sim_robot", "port"), (FAULT_NODE, "robot_port")),
    ),
    Argument(
        "camera_port",
        "5555",
        "TCP port that the cameras push to",
        _port,
        (("camera_bridge", "port"), ("sim_camera", "port"), (FAULT_NODE, "camera_port")),
    ),
    Argument(
        "sensor_port",
        "9999",
        "UDP port that the sensor sends to",
        _port,
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
    Argument("record", "false", "record a bag: bag_<start, UTC> in output_dir", _boolean),
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
        _between(_number, 0.0, 1e9),
        (("monitor", "duration"),),
    ),
    Argument("web", "false", "also serve the live view, a page for browsers", _boolean),
    Argument("web_port", "8088", "TCP port of the live view", _port, ((WEB_VIEW, "web_port"),)),
    Argument(
        "web_host",
        "127.0.0.1",
        "address that the live view listens on; * for all, with a token",
        targets=((WEB_VIEW, "web_host"),),
    ),
    *(Argument(name, "false", description, _boolean) for name, description in TOOLS.items()),
    Argument(
        "action_space",
        "joints",
        "what the actions are, for rviz and foxglove to show: joints, or pose, the tool's",
        _one_of("joints", "pose"),
        ((CHUNK_VIEWER, "action_space"),),
    ),
    Argument(
        "verbosity",
        "normal",
        "what the nodes say: quiet (warnings and errors alone), normal, or debug",
        _one_of(*VERBOSITIES),
        ((EVERY_NODE, "verbosity"),),
    ),
    Argument(
        "message_bytes",
        "",
        "largest message on a network, 4000 by default; 1400, which IP never cuts, on a bad one",
        _message_bytes,
    ),
    Argument("respawn", "false", "restart a node that dies instead of stopping all", _boolean),
    Argument("params_file", "", "parameters of all nodes; empty for the package's async.yaml"),
)

_REPLAYED = (
    *("checkpoint", "adapter_config", "lora_alpha", "fusion_strategy", "model", "device", "dtype"),
    *("instruction", "vl_reuse"),
    *("action_rate", "save_data", "record", "output_dir", "duration", "params_file"),
    *("web", "web_port", "web_host", *TOOLS, "action_space", "verbosity", "message_bytes"),
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
        _between(_number, 0.01, 100.0),
        ((BAG_PLAYER, "rate"),),
    ),
    *(argument for argument in ARGUMENTS if argument.name in _REPLAYED),
)

"""The launch arguments: their defaults, where they go, and which values are taken or refused."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from configs import config_type

from vla_inference_ros import graph, launch_arguments, launcher
from vla_inference_ros.graph import build, build_replay
from vla_inference_ros.launch_arguments import (
    ARGUMENTS,
    EVERY_NODE,
    REPLAY_ARGUMENTS,
    ArgumentError,
)
from vla_inference_ros.nodes.parameters import specifications
from vla_inference_ros.nodes.verbosity import CommonConfig

# The interface that launch files, scripts and people rely on.
DEFAULTS = {
    "checkpoint": "",
    "adapter_config": "",
    "lora_alpha": "0.0",
    "fusion_strategy": "concat",
    "model": "Qwen/Qwen2.5-VL-3B-Instruct",
    "device": "auto",
    "dtype": "auto",
    "instruction": "Perform needle insertion into the eye",
    "vl_reuse": "4",
    "action_rate": "10.0",
    "robot_host": "127.0.0.1",
    "robot_port": "5556",
    "camera_port": "5555",
    "sensor_port": "9999",
    "sim": "false",
    "faults": "false",
    "save_data": "false",
    "record": "false",
    "output_dir": ".",
    "duration": "0.0",
    "web": "false",
    "web_port": "8088",
    "web_host": "127.0.0.1",
    "action_space": "joints",
    "rviz": "false",
    "rqt": "false",
    "foxglove": "false",
    "plotjuggler": "false",
    "verbosity": "normal",
    "message_bytes": "",
    "respawn": "false",
    "params_file": "",
}
# What only the bridges and their senders need makes no sense in a replay.
NOT_REPLAYED = {
    *("robot_host", "robot_port", "camera_port", "sensor_port", "sim", "faults", "respawn"),
}
REPLAY_DEFAULTS = {"bag": "", "rate": "1.0"} | {
    name: default for name, default in DEFAULTS.items() if name not in NOT_REPLAYED
}
TARGETS = [
    pytest.param(argument, node, parameter, id=f"{argument.name}-{node}")
    for argument in {a.name: a for a in (*ARGUMENTS, *REPLAY_ARGUMENTS)}.values()
    for target, parameter in argument.targets
    for node in (graph.ALL_NODES if target == EVERY_NODE else (target,))
]


def defaults_of(node: str) -> dict[str, Any]:
    """The default of every parameter of a node."""
    return {**dataclasses.asdict(CommonConfig()), **dataclasses.asdict(config_type(node)())}


def test_the_arguments_and_their_defaults_are_those_of_the_interface() -> None:
    for arguments, defaults in ((ARGUMENTS, DEFAULTS), (REPLAY_ARGUMENTS, REPLAY_DEFAULTS)):
        assert {argument.name: argument.default for argument in arguments} == defaults
        assert len(arguments) == len(defaults)
        assert all(argument.description for argument in arguments)


@pytest.mark.parametrize(("argument", "node", "parameter"), TARGETS)
def test_an_argument_goes_to_a_parameter_and_has_its_default(
    argument: launch_arguments.Argument, node: str, parameter: str
) -> None:
    assert node in graph.ALL_NODES
    default = defaults_of(node)[parameter]
    value = argument.value(argument.default)
    assert (value, type(value)) == (default, type(default))


@pytest.mark.parametrize(("argument", "node", "parameter"), TARGETS)
def test_what_a_node_would_refuse_is_refused_before_it_starts(
    argument: launch_arguments.Argument, node: str, parameter: str
) -> None:
    """Else a guest, such as the monitor, would be started again for ever without coming up."""
    known = {**specifications(CommonConfig), **specifications(config_type(node))}
    specification = known[parameter][1]
    for choice in specification.choices:
        assert argument.value(choice) == choice
    outside = ["none of these"] if specification.choices else []
    if specification.minimum is not None and specification.maximum is not None:
        for end, beyond in ((specification.minimum, -1.0), (specification.maximum, 1.0)):
            text = type(known[parameter][0])(end)
            assert argument.value(str(text)) == end
            outside.append(str(type(text)(end + beyond)))
    for text in outside:
        with pytest.raises(ArgumentError, match=rf"^argument {argument.name}:=.* cannot be used"):
            argument.value(text)


def test_faults_are_for_simulated_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(graph.RUN_ID, "0")  # else each graph is of a run of its own
    for given in ({"faults": "true"}, {"faults": "true", "sim": "false"}):
        with pytest.raises(ArgumentError, match=r"faults:=true needs sim:=true"):
            build(given)
    assert build({"sim": "true", "faults": "false"}) == build({"sim": "true"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vl_reuse", "four"),
        ("vl_reuse", "4.0"),
        ("camera_port", ""),
        ("robot_port", "0x15B3"),
        ("action_rate", "fast"),
        ("action_rate", "nan"),
        ("duration", "inf"),
        ("duration", ""),
        ("sim", "maybe"),
        ("sim", ""),
        ("faults", "some"),
        ("respawn", "2"),
        ("save_data", "ja"),
        ("record", "bag"),
        ("message_bytes", "999"),
        ("message_bytes", "65501"),
        ("message_bytes", "large"),
        ("verbosity", "loud"),
        ("verbosity", ""),
    ],
)
def test_a_bad_value_is_named(name: str, text: str) -> None:
    with pytest.raises(ArgumentError, match=rf"^argument {name}:={text} cannot be used: \S"):
        build({name: text})


def test_an_unknown_argument_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        ArgumentError, match="unknown argument 'vl_resue': is vl_reuse meant"
    ) as caught:
        build({"vl_resue": "4", "sim": "maybe"})
    for name in DEFAULTS:
        assert name in str(caught.value)


def test_a_params_file_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.yaml").touch()
    assert build({"params_file": "~/own.yaml"}).params_file == tmp_path / "own.yaml"


def test_a_missing_params_file_is_named(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ArgumentError, match=f"params_file:={missing}: there is no such file"):
            build({"params_file": str(missing)})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("root:x:0:0:root:/root:/bin/bash", "holds no nodes"),
        ("- vlm", "holds no nodes"),
        ("7", "holds no nodes"),
        ("vlm: [", "is no YAML"),
        ("vlm: 2026-13-45", "is no YAML"),
        ("\0", "is no YAML"),
    ],
)
def test_a_params_file_that_is_none_is_refused_in_one_line(
    text: str, why: str, tmp_path: Path
) -> None:
    """ROS would take it, and every default hold without a word."""
    file = tmp_path / "own.yaml"
    file.write_text(text, encoding="utf-8")
    for made in (lambda: build({"params_file": str(file)}), lambda: build_replay(replayed(file))):
        with pytest.raises(ArgumentError, match=f"^params_file {file} {why}") as error:
            made()
        assert "\n" not in str(error.value)


def replayed(params_file: Path) -> dict[str, str]:
    return {"bag": str(params_file.parent), "params_file": str(params_file)}


def test_a_params_file_in_no_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"vlm: \xff\xfe")
    with pytest.raises(ArgumentError, match=r"own\.yaml cannot be read: 'utf-8'"):
        build({"params_file": str(tmp_path / "own.yaml")})


def test_a_params_file_may_be_of_other_nodes_too(tmp_path: Path) -> None:
    text = "arm:\n  gripper:\n    ros__parameters: {speed: 1.0}\nmover: {ros__parameters: {x: 1.0}}"
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    assert build({"params_file": str(tmp_path / "own.yaml")}).warnings == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("vlm: {ros__parameters: {modle: stub}}", "vlm has no parameter 'modle': is model meant?"),
        ("/vlm: {ros__parameters: {x: 1, device: cpu}}", "vlm has no parameter 'x': docs/par"),
        ("action_expret: {}", "node 'action_expret' is none of ours: is action_expert meant?"),
    ],
)
def test_a_name_in_a_params_file_that_no_node_takes_is_told(
    text: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own.yaml"
    ours = "monitor: {ros__parameters: {use_sim_time: true}}"
    own.write_text(f"{text}\n{ours}", encoding="utf-8")
    (warning,) = build({"params_file": str(own)}).warnings
    assert warning.startswith(f"params_file {own}: {said}")
    monkeypatch.setattr(launcher.Launcher, "run", lambda self: 0)
    assert launcher.main(["async.launch.py", f"params_file:={own}"]) == 0
    assert capsys.readouterr().err == f"vla-launch: WARN: {warning}\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "argument bag:= is missing: name a bag or a run folder"),
        ({"bag": ""}, "argument bag:= is missing"),
        ({"bag": "/none"}, "argument bag:=/none: there is no such file or folder"),
        ({"bag": ".", "rate": "0"}, "argument rate:=0 cannot be used: not from 0.01 to 100"),
        ({"bag": ".", "rate": "-1.5"}, r"argument rate:=-1\.5 cannot be used"),
        ({"bag": ".", "rate": "nan"}, "argument rate:=nan cannot be used"),
        ({"bag": ".", "rate": "x"}, "argument rate:=x cannot be used"),
        ({"bag": ".", "sim": "true"}, "unknown argument 'sim'; known are .*, bag, "),
    ],
)
def test_what_cannot_be_replayed_is_explained(given: dict[str, str], message: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{message}"):
        build_replay(given)


def test_a_bag_may_lie_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bag").mkdir()
    build_replay({"bag": "~/bag"})

"""The console command with the real graph; test_launcher_children.py has nodes that misbehave."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from launching import STOP_TIME, TIMEOUT, Launch
from ports import free_port

from vla_inference_ros import graph

COMMAND = str(Path(sys.executable).with_name("vla-launch"))
UP = {
    "vlm": "stub .no network.",
    "action_expert": "stub .no network.",
    "camera_bridge": "waiting for cameras",
    "robot_bridge": "listening to",
    "sensor_bridge": "waiting for the sensor",
    "monitor": "--- Status",
}  # what each node says once it runs


@contextmanager
def launching(*arguments: str) -> Iterator[Launch]:
    launch = Launch([COMMAND, *arguments])
    try:
        yield launch
    finally:
        launch.clean_up()


def wait_for_nodes(launch: Launch) -> None:
    """Until all six nodes run."""
    launch.wait_for(*(rf"^\[{name}-\d\] .*{text}" for name, text in UP.items()))


@pytest.fixture
def real(tmp_path: Path) -> list[str]:
    """The command line for the real graph: no network, free ports, small pictures, a talkative
    monitor.
    """
    params_file = tmp_path / "test.yaml"
    params_file.write_text(
        "monitor: {ros__parameters: {status_period: 0.2}}\n"
        "sim_camera: {ros__parameters: {width: 160, height: 90, jpeg_bytes: 0, pool: 1}}\n",
        encoding="utf-8",
    )
    return [
        "async.launch.py",
        "model:=stub",
        f"camera_port:={free_port(socket.SOCK_STREAM)}",
        f"robot_port:={free_port(socket.SOCK_STREAM)}",
        f"sensor_port:={free_port(socket.SOCK_DGRAM)}",
        f"params_file:={params_file}",
    ]


# --- the command line


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=TIMEOUT)


@pytest.mark.parametrize("file", graph.LAUNCH_FILES)
def test_show_args_lists_every_argument_with_the_files_default(file: str) -> None:
    done = run("--show-args", file)
    assert (done.returncode, done.stderr) == (0, "")
    launch_file = graph.LAUNCH_FILES[file]
    assert done.stdout.count("(default: ") == len(launch_file.arguments)
    for argument in launch_file.arguments:
        default = launch_file.default(argument)
        shown = (
            f"'{argument.name}':\n        {argument.description}\n        (default: {default!r})"
        )
        assert shown in done.stdout


def test_help_names_the_files() -> None:
    for arguments in (["--help"], ["async.launch.py", "-h"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert ", ".join(graph.LAUNCH_FILES) in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: vla-launch"),
        (["--show-args"], "usage: vla-launch"),
        (["sync.launch.py"], r"unknown launch file 'sync.launch.py': is async.launch.py meant\?"),
        (["./async.launch.py"], r"unknown launch file './async.launch.py': is async"),
        (
            ["async.launch.py", "modle:=stub"],
            r"unknown argument 'modle': is model meant\? \(known are .*, model, ",
        ),
        (["async.launch.py", "model=stub"], "'model=stub' is not of the form name:=value"),
        (["async.launch.py", "vl_reuse:=x"], "argument vl_reuse:=x cannot be used: "),
        (
            ["demo.launch.py", "params_file:=/none"],
            "argument params_file:=/none: there is no such file",
        ),
        (["async.launch.py", "faults:=true"], "argument faults:=true needs sim:=true: "),
        (["replay.launch.py"], "argument bag:= is missing: "),
        (["replay.launch.py", "bag:=/none"], "argument bag:=/none: there is no such file"),
        (["replay.launch.py", "bag:=/", "rate:=0"], "argument rate:=0 cannot be used: "),
        (["replay.launch.py", "bag:=/", "sim:=true"], "unknown argument 'sim'; known are "),
    ],
)
def test_a_wrong_command_line_is_explained_and_nothing_started(
    arguments: list[str], message: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(f"(vla-launch: )?{message}", done.stderr)
    assert "Traceback" not in done.stderr


# --- the real graph


def test_a_run_with_a_duration_ends_by_itself(real: list[str]) -> None:
    with launching(*real, "sim:=true", "duration:=0.5", "instruction:=🔄 'go'") as launch:
        assert launch.end() == 0
        assert len(launch.nodes) == 9
        lines = launch.lines
    assert all(re.match(r"\[(vla-launch|\w+-\d)\] ", line) for line in lines), lines
    for pattern in (
        r"^\[vlm-1\] .* instruction \"🔄 'go'\"$",
        r"^\[monitor-6\] 🔄 \[VL Update #1\] Completed in \d+ms$",
        r"^\[monitor-6\] \[ACTION #1\] VL_reuse=1/4 \| ",
        r"^\[vla-launch\] monitor-6 has ended: stopping$",
    ):
        assert any(re.search(pattern, line) for line in lines), (pattern, lines)
    assert "Traceback" not in str(lines)


def test_a_run_with_a_duration_that_never_acts_has_failed(real: list[str]) -> None:
    with launching(*real, "duration:=0.5") as launch:  # without senders
        wait_for_nodes(launch)
        assert launch.end(signal.SIGINT) == 1
        text = "\n".join(launch.lines)
    assert re.search(r"\[monitor-6\] .* no action chunk has come, .*: WAIT: waiting for ", text)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_node_cleanly(real: list[str], number: signal.Signals) -> None:
    with launching(*real) as launch:
        wait_for_nodes(launch)
        assert launch.end(number) == 0
        said = [line for line in launch.lines if line.startswith("[vla-launch] ")]
        assert said[6:] == [f"[vla-launch] {number.name}: stopping"]
        assert "Traceback" not in str(launch.lines)


def test_ctrl_c_twice_while_nodes_are_starting(real: list[str]) -> None:
    with launching(*real) as launch:
        launch.wait_for("started monitor-6")
        launch.process.send_signal(signal.SIGINT)
        assert launch.end(signal.SIGINT) == 0
        assert not [line for line in launch.lines if not line.startswith("[vla-launch] ")]


def test_a_node_that_dies_ends_all_with_a_failure(real: list[str]) -> None:
    with launching(*real) as launch:
        wait_for_nodes(launch)
        os.kill(launch.nodes["robot_bridge-4"], signal.SIGKILL)
        assert launch.end() == 1
        assert "[vla-launch] robot_bridge-4 died: signal SIGKILL" in launch.lines


def test_what_happens_to_guests_leaves_the_inference_alone(real: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    recording = ["save_data:=true", "record:=true", f"output_dir:={runs}"]
    with launching(*real, "sim:=true", *recording) as launch:
        launch.wait_for(r"\[ACTION #5\]")
        for folder in list(runs.iterdir()):
            while folder.exists():  # a picture may be written into it meanwhile
                shutil.rmtree(folder, ignore_errors=True)
        launch.wait_for(
            *(rf"\[{name}-\d\] .* is gone \(" for name in ("recorder", "bag_recorder")),
            *(rf"\[{name}-\d\] .*saving goes on in" for name in ("recorder", "bag_recorder")),
        )
        for name in ("recorder-7", "monitor-6"):
            os.kill(launch.nodes[name], signal.SIGKILL)
        launch.wait_for("restarted recorder-7", "restarted monitor-6")
        launch.wait_for(r"\[monitor-6\] \[ACTION #\d+\]", r"\[recorder-7\] .*saving to")
        inferring = {"vlm-1", "action_expert-2", "camera_bridge-3", "robot_bridge-4"}
        assert inferring <= set(launch.running_nodes())
        launch.end(signal.SIGINT)
        assert "had died and was not brought back" not in str(launch.lines)
        numbers = [int(number) for number in re.findall(r"\[ACTION #(\d+)\]", str(launch.lines))]
        assert numbers == sorted(numbers)  # the action expert was never restarted
    assert any(runs.glob("bag_*/metadata.yaml"))


def test_a_node_that_dies_is_restarted_if_asked_to(real: list[str]) -> None:
    with launching(*real, "respawn:=true") as launch:
        wait_for_nodes(launch)
        first = launch.nodes["camera_bridge-3"]
        os.kill(first, signal.SIGKILL)
        launch.wait_for("camera_bridge-3 died: signal SIGKILL")
        launch.wait_for(rf"\[camera_bridge-3\] .*{UP['camera_bridge']}")  # on the same port
        assert launch.nodes["camera_bridge-3"] != first
        assert launch.end(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("argument", "kind", "node"),
    [
        ("camera_port", socket.SOCK_STREAM, "camera_bridge-3"),
        ("sensor_port", socket.SOCK_DGRAM, "sensor_bridge-5"),
    ],
)
def test_a_port_in_use_ends_the_launch_and_is_named(
    real: list[str], argument: str, kind: socket.SocketKind, node: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("0.0.0.0", 0))
        port = other.getsockname()[1]
        with launching(*real, f"{argument}:={port}") as launch:
            assert launch.end() == 1
            text = "\n".join(launch.lines)
    assert re.search(rf"\[{node}\] .*cannot start: parameters .*'port': .*hold port {port}\?", text)
    assert f"[vla-launch] {node} died: exit status 1" in text
    assert "Traceback" not in text


def test_a_killed_launcher_leaves_no_nodes(real: list[str]) -> None:
    with launching(*real) as launch:
        wait_for_nodes(launch)
        launch.process.kill()
        assert launch.running_nodes(patience=STOP_TIME) == []

"""The launch files under ``ros2 launch`` itself.

Only a ROS installation has that, so elsewhere nothing here runs: tests with stand-ins for launch
would test the stand-ins. What the files take from graph.py is tested in test_graph.py, and that it
works as a whole in test_launcher.py.
"""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from vla_inference_ros import graph

pytest.importorskip("ros2launch", reason="'ros2 launch' comes with a ROS installation only")


def run(file: str, *arguments: str) -> tuple[int, str]:
    """The exit status, and what was said."""
    done = subprocess.run(
        ["ros2", "launch", "--noninteractive", graph.PACKAGE, file, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments of a run beside others: no network, free ports, small pictures."""
    params_file = tmp_path / "test.yaml"
    params_file.write_text(
        "sim_camera: {ros__parameters: {width: 160, height: 90, jpeg_bytes: 0, pool: 1}}\n"
    )
    kinds = {"camera": socket.SOCK_STREAM, "robot": socket.SOCK_STREAM, "sensor": socket.SOCK_DGRAM}
    ports = [f"{name}_port:={free_port(kind)}" for name, kind in kinds.items()]
    return ["model:=stub", f"params_file:={params_file}", *ports]


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize("file", graph.LAUNCH_FILES)
def test_show_args_lists_every_argument_with_the_files_default(file: str) -> None:
    status, output = run(file, "--show-args")
    assert status == 0
    assert output.count("(default: ") == len(graph.ARGUMENTS)
    for argument in graph.ARGUMENTS:
        default = graph.LAUNCH_FILES[file].get(argument.name, argument.default)
        shown = (
            f"'{argument.name}':\n        {argument.description}\n        (default: {default!r})"
        )
        assert shown in output


def test_a_run_with_a_duration_ends_with_status_0(quick: list[str]) -> None:
    status, output = run("demo.launch.py", "duration:=0.5", "instruction:=yes", *quick)
    assert status == 0, output
    assert "instruction 'yes'" in output  # text, though YAML has it for a truth value
    assert "[ACTION #1] VL_reuse=1/4" in output
    assert output.count("process has finished cleanly") == len(graph.NODES + graph.SIM_NODES)


def test_a_node_that_dies_ends_all_with_status_1(quick: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        port = f"camera_port:={other.getsockname()[1]}"
        status, output = run("async.launch.py", *quick, port)
    assert status == 1, output
    assert "hold port" in output
    assert "camera_bridge-3 died with exit code 1" in output


@pytest.mark.parametrize("argument", ["vl_reuse:=abc", "faults:=true"])
def test_a_wrong_argument_is_explained_and_nothing_started(argument: str) -> None:
    status, output = run("async.launch.py", argument)
    assert status == 1
    assert f"argument {argument}" in output
    assert "process started" not in output

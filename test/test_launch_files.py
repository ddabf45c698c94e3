"""The launch files under ``ros2 launch`` itself.

Only a ROS installation has that, so elsewhere nothing here runs: tests with stand-ins for launch
would test the stand-ins. What the files take from graph.py is tested in test_graph.py, and that it
works as a whole in test_launcher.py.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from ports import free_port

from vla_inference_ros import graph
from vla_inference_ros.rosbag2 import PACKAGES, is_installed

pytest.importorskip("ros2launch", reason="'ros2 launch' comes with a ROS installation only")


# Stands in for ros2 bag, which not every ROS installation has, and shows what it is called with: a
# recorder that runs until Ctrl+C, and a paused player that ends a moment after it is resumed.
ROS2 = """#!{python}
import os, pathlib, signal, sys, time
resumed = pathlib.Path(__file__).with_name("resumed")
print("called with:", *sys.argv[1:], flush=True)
if sys.argv[1:3] == ["service", "call"]:
    resumed.touch()
elif sys.argv[2] == "record":
    signal.signal(signal.SIGINT, lambda *_: os._exit(2))  # as the command ros2 does
    time.sleep(2 if "fail" in sys.argv[6] else 60)
    os._exit(3)
else:
    import rclpy
    from rosgraph_msgs.msg import Clock
    rclpy.init()
    node = rclpy.create_node("player")
    clock = node.create_publisher(Clock, "/clock", 1)
    while not resumed.exists():
        clock.publish(Clock())
        time.sleep(0.05)
"""


# Has arguments of its own, and hands on what else it is given.
PARENT = """
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource


def generate_launch_description():
    source = PythonLaunchDescriptionSource("{file}")
    return LaunchDescription(
        [
            DeclareLaunchArgument("operator"),
            DeclareLaunchArgument("durations", default_value="0.5"),
            IncludeLaunchDescription(source, launch_arguments=[("duration", "0.5")]),
        ]
    )
"""


def run(
    file: str, *arguments: str, package: Sequence[str] = (graph.PACKAGE,), **environment: str
) -> tuple[int, str]:
    """The exit status, and what was said."""
    ros2 = shutil.which("ros2")
    assert ros2 is not None
    done = subprocess.run(
        [ros2, "launch", "--noninteractive", *package, file, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout


@pytest.fixture
def quick(tmp_path: Path) -> list[str]:
    """Arguments of a run beside others: no network, free ports, small pictures."""
    params_file = tmp_path / "test.yaml"
    params_file.write_text(
        "sim_camera: {ros__parameters: {width: 160, height: 90, jpeg_bytes: 0, pool: 1}}\n",
        encoding="utf-8",
    )
    kinds = {"camera": socket.SOCK_STREAM, "robot": socket.SOCK_STREAM, "sensor": socket.SOCK_DGRAM}
    ports = [f"{name}_port:={free_port(kind)}" for name, kind in kinds.items()]
    return ["model:=stub", f"params_file:={params_file}", *ports]


@pytest.fixture
def rosbag2(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine that has it."""
    resources = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    resources.mkdir(parents=True)
    for package in PACKAGES:
        (resources / package).touch()
    (tmp_path / "ros2").write_text(ROS2.format(python=sys.executable), encoding="utf-8")
    (tmp_path / "ros2").chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "AMENT_PREFIX_PATH": f"{tmp_path}:{os.environ['AMENT_PREFIX_PATH']}",
    }


@pytest.mark.parametrize("file", graph.LAUNCH_FILES)
def test_show_args_lists_every_argument_with_the_files_default(file: str) -> None:
    status, output = run(file, "--show-args")
    assert status == 0
    launch_file = graph.LAUNCH_FILES[file]
    assert output.count("(default: ") == len(launch_file.arguments)
    for argument in launch_file.arguments:
        default = launch_file.default(argument)
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


def test_a_run_that_never_acts_ends_with_status_1(quick: list[str], tmp_path: Path) -> None:
    """A monitor that does not wait for long, in the place of the node's executable."""
    give_up = "from vla_inference_ros.core import run_length as length; length.PATIENCE = 0.1\n"
    (tmp_path / "sitecustomize.py").write_text(give_up, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    status, output = run("async.launch.py", "duration:=0.1", *quick, PYTHONPATH=path)
    assert status == 1, output
    assert "no action chunk has come, so the duration of 0.1 s has not begun: WAIT: wait" in output
    assert re.search(r"monitor-\d+ has ended, without an action chunk", output)


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


@pytest.mark.parametrize("by_path", [False, True])
def test_a_mistyped_argument_is_refused(by_path: bool) -> None:
    file = str(graph.share() / "launch" / "async.launch.py") if by_path else "async.launch.py"
    status, output = run(file, "modle:=stub", package=() if by_path else (graph.PACKAGE,))
    assert status == 1
    assert "unknown argument 'modle': is model meant?" in output
    assert "process started" not in output


def test_arguments_of_launch_itself_are_left_alone(quick: list[str]) -> None:
    status, output = run("demo.launch.py", "sigterm_timeout:=20", "duration:=0.5", *quick)
    assert status == 0, output


def test_arguments_of_a_file_that_includes_one_are_left_alone(
    quick: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "rig.launch.py"
    file.write_text(
        PARENT.format(file=graph.share() / "launch" / "demo.launch.py"), encoding="utf-8"
    )
    status, output = run(str(file), "operator:=me", "durations:=1", *quick, package=())
    assert status == 0, output
    assert "duration of 0.5 s is over" in output
    assert (
        "demo.launch.py has no argument 'durations': if it was meant, it is called durat" in output
    )
    assert "operator" not in output


def test_the_end_of_a_guest_is_no_others(quick: list[str], rosbag2: dict[str, str]) -> None:
    """A live view whose port is taken; rviz2 that ends at once; PlotJuggler that is not there."""
    prefix = Path(rosbag2["AMENT_PREFIX_PATH"].partition(":")[0])
    program = prefix / "lib" / "rviz2" / "rviz2"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho rviz shows $2\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    (prefix / "share" / "ament_index" / "resource_index" / "packages" / "rviz2").touch()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        guests = ["web:=true", f"web_port:={other.getsockname()[1]}", "rviz:=true"]
        status, output = run(
            "demo.launch.py", "duration:=2", "plotjuggler:=true", *guests, *quick, **rosbag2
        )
    assert status == 1, output  # the live view was not there in the end
    assert "duration of 2 s is over" in output
    assert re.search(r"web_view-\d+ had died and was not brought back", output)
    assert "parameter 'web_port'" in output
    assert f"rviz shows {graph.share()}/config/rviz.rviz" in output
    assert "plotjuggler:=true: plotjuggler is not installed, so it is not started" in output


def test_ros2_bag_records_where_it_is_installed(
    quick: list[str], rosbag2: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["sim:=true", "record:=true", "duration:=0.5", f"output_dir:={tmp_path}"]
    status, output = run("async.launch.py", *arguments, *quick, **rosbag2)
    assert status == 0, output
    assert f"called with: bag record --storage mcap --output {tmp_path}/bag_" in output
    assert "process[bag_record-7]" in output
    assert "bag_recorder" not in output


def test_the_own_recorder_does_elsewhere(quick: list[str], tmp_path: Path) -> None:
    arguments = ["sim:=true", "record:=true", "duration:=0.5", f"output_dir:={tmp_path}"]
    status, output = run("async.launch.py", *arguments, *quick)
    assert status == 0, output
    expected = "bag_record-7" if is_installed() else "bag_recorder-7"
    assert f"[{expected}]: process has finished cleanly" in output


def test_a_recorder_that_dies_is_started_again_and_missed_in_the_end(
    quick: list[str], rosbag2: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["sim:=true", "record:=true", "duration:=8", f"output_dir:={tmp_path}/fail"]
    status, output = run("async.launch.py", *arguments, *quick, **rosbag2)
    assert re.search(r"bag_record-7 died with exit code 3, and is started again in 1 s", output)
    assert re.search(r"bag_record-\d+ died with exit code 3, and is started again in 2 s", output)
    assert output.count("called with: bag record") > 1
    assert "duration of 8 s is over" in output
    assert status == 1, output


def test_ros2_bag_plays_once_all_are_ready(rosbag2: dict[str, str], tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    (bag / "metadata.yaml").touch()
    status, output = run("replay.launch.py", "model:=stub", f"bag:={bag}", "rate:=2", **rosbag2)
    assert status == 0, output
    played = output.index(f"called with: bag play {bag} --clock 100 --rate 2.0")
    ready = output.index("[bag_player-5]: process has finished cleanly")
    resumed = output.index("called with: service call /rosbag2_player/resume")
    ended = output.index("process[bag_play-4] was required")
    assert played < ready < resumed < ended


def test_a_replay_without_a_recording_is_explained() -> None:
    status, output = run("replay.launch.py")
    assert status == 1
    assert "argument bag:= is missing" in output
    assert "process started" not in output

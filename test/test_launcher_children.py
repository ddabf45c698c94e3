"""The launcher with nodes that misbehave: shell scripts in a folder like an installation."""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from launching import TIMEOUT, Launch

from vla_inference_ros import (
    core,
    graph,
    launch_arguments,
    launcher,
    mistyped,
    nodes,
    params_file,
    watching,
)
from vla_inference_ros.core import console, memory, printable
from vla_inference_ros.nodes import dds_profile, ros_settings

Pretend = Callable[..., Launch]


@pytest.fixture
def pretend(tmp_path: Path) -> Iterator[Pretend]:
    """Launches shell scripts, given by node; the other nodes do nothing."""
    package = tmp_path / "lib" / "python" / graph.PACKAGE
    executables, share = tmp_path / "lib" / graph.PACKAGE, tmp_path / "share" / graph.PACKAGE
    for folder in (package / "core", package / "nodes", executables, share / "config"):
        folder.mkdir(parents=True)
    for module in (graph, launch_arguments, launcher, mistyped, params_file, watching):
        shutil.copy(str(module.__file__), package)
    for module in (core, console, memory, printable):
        shutil.copy(str(module.__file__), package / "core")
    for module in (nodes, dds_profile, ros_settings):
        shutil.copy(str(module.__file__), package / "nodes")
    for file in (package / "__init__.py", share / "package.xml", share / "config" / "async.yaml"):
        file.touch()
    launches = []

    def start(
        stdout: int = subprocess.PIPE,
        respawn: bool = False,
        by: Sequence[str] = (),
        arguments: Sequence[str] = (),
        **scripts: str,
    ) -> Launch:
        for node in {*graph.NODES, *graph.GUESTS}:
            script = executables / node
            script.write_text(
                f"#!/bin/sh\n{scripts.get(node, 'exec sleep 60')}\n", encoding="utf-8"
            )
            script.chmod(0o755)
        command = [*by, sys.executable, str(package / "launcher.py")]
        command += ["async.launch.py", f"respawn:={respawn}", *arguments]
        environment = {"PYTHONPATH": str(package.parent), "AMENT_PREFIX_PATH": str(tmp_path)}
        launches.append(Launch(command, stdout, environment))
        return launches[-1]

    yield start
    for launch in launches:
        launch.clean_up()


def test_a_node_that_does_not_stop_is_killed_in_time(pretend: Pretend) -> None:
    launch = pretend(vlm="trap '' TERM INT; echo deaf; while :; do sleep 0.1; done")
    launch.wait_for("deaf")
    assert launch.end(signal.SIGINT) == 1
    assert launch.lines[-2:] == [
        "[vla-launch] vlm-1 did not stop in 5.0 s: killed",
        "[vla-launch] vlm-1 ended badly: signal SIGABRT",
    ]


def test_nodes_are_told_the_size_of_messages(pretend: Pretend) -> None:
    launch = pretend(
        arguments=["message_bytes:=1400"], vlm='echo "of $VLA_MESSAGE_BYTES"; exec sleep 60'
    )
    launch.wait_for("of 1400")
    assert launch.end(signal.SIGINT) == 0


def test_a_node_that_fails_to_stop_cleanly_fails_the_launch(pretend: Pretend) -> None:
    launch = pretend(vlm="trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    launch.wait_for("up")
    assert launch.end(signal.SIGTERM) == 1
    assert launch.lines[-1] == "[vla-launch] vlm-1 ended badly: exit status 3"


@pytest.mark.parametrize("delay", [-0.05, 0.0, 0.05])
def test_a_stop_signal_to_all_processes_is_no_death(pretend: Pretend, delay: float) -> None:
    """As a service manager's, which may reach the launcher before the nodes or after them."""
    launch = pretend(vlm="echo up; exec sleep 60")
    launch.wait_for("up")
    if delay <= 0:
        launch.process.send_signal(signal.SIGTERM)
    time.sleep(abs(delay))  # the case itself
    for pid in launch.nodes.values():
        with contextlib.suppress(ProcessLookupError):  # the launcher has stopped it already
            os.kill(pid, signal.SIGTERM)
    if delay > 0:
        time.sleep(delay)
        launch.process.send_signal(signal.SIGTERM)
    assert launch.end() == 0


def test_a_hangup_stops_all_unless_the_launch_is_to_survive_it(pretend: Pretend) -> None:
    hearing = ["env", "--default-signal=HUP"]  # also where the tests themselves are deaf
    launch = pretend(by=hearing, vlm="echo up; exec sleep 60")
    launch.wait_for("up")
    assert launch.end(signal.SIGHUP) == 0
    deaf = pretend(by=["nohup"], vlm="trap 'echo on' USR1; echo up; while :; do sleep 0.05; done")
    deaf.wait_for("up")
    deaf.process.send_signal(signal.SIGHUP)
    os.kill(deaf.nodes["vlm-1"], signal.SIGUSR1)
    deaf.wait_for("on")
    assert deaf.end(signal.SIGINT) == 0
    assert "SIGHUP" not in str(deaf.lines)


def test_output_comes_in_whole_lines_and_to_the_last(pretend: Pretend) -> None:
    launch = pretend(
        monitor="head -c 300000 /dev/zero | tr '\\0' x; touch $0.done; exec sleep 60",
        vlm="printf 'half '; until [ -e ${0%/*}/monitor.done ]; do sleep 0.05; done;"
        "printf 'a line\\nno end \\303('; exit 4",
    )
    assert launch.end() == 1
    said = [line for line in launch.lines if line.startswith("[vlm-1]")]
    assert said == ["[vlm-1] half a line", "[vlm-1] no end \ufffd("]
    long = [line.removeprefix("[monitor-6] ") for line in launch.lines if "xxx" in line]
    assert "".join(long) == "x" * 300_000
    assert all(len(part) < 140_000 for part in long)


@pytest.mark.parametrize("respawn", [False, True])
def test_what_a_dead_node_leaves_behind_is_ended_and_not_waited_for(
    pretend: Pretend, respawn: bool
) -> None:
    launch = pretend(vlm="sleep 60 & echo left $!; exit 5", respawn=respawn)
    (line,) = launch.wait_for(r"left \d+")
    left = os.pidfd_open(int(line.split()[-1]))
    launch.wait_for("vlm-1 died: exit status 5")
    assert select.select([left], [], [], TIMEOUT)[0]
    os.close(left)
    if not respawn:
        assert launch.end() == 1
        return
    launch.wait_for("restarted vlm-1, process")
    launch.wait_for("vlm-1 died: exit status 5")
    assert launch.end(signal.SIGINT) == 0


@pytest.mark.parametrize("terminal", [False, True])
def test_nodes_are_stopped_when_nobody_reads_any_more(pretend: Pretend, terminal: bool) -> None:
    ours, theirs = os.openpty() if terminal else os.pipe()
    launch = pretend(theirs, vlm="while :; do echo tick; sleep 0.01; done")
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as output:
        seen = [output.readline() for _ in range(10)]
    assert any("tick" in line for line in seen)
    assert launch.process.wait(TIMEOUT) == 0
    for line in seen[:6]:
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[-1]), 0)


def test_a_limit_on_the_address_space_is_told_with_a_death(pretend: Pretend) -> None:
    limited = ["sh", "-c", 'ulimit -v 8000000; exec "$@"', "sh"]
    launch = pretend(by=limited, vlm="kill -ABRT $$")
    assert launch.end() == 1
    (line,) = [line for line in launch.lines if "vlm-1 died" in line]
    assert line.startswith("[vla-launch] vlm-1 died: signal SIGABRT; no process may have more than")
    assert "8192 MB of address space here" in line


# --- guests


GUESTS = {
    "monitor": ("monitor-6", []),
    "recorder": ("recorder-7", ["save_data:=true"]),
    "bag_recorder": ("bag_recorder-7", ["record:=true"]),
    "web_view": ("web_view-7", ["web:=true"]),
    "chunk_viewer": ("chunk_viewer-7", ["foxglove:=true"]),
}


@pytest.mark.parametrize("guest", GUESTS)
def test_a_guest_that_dies_is_brought_back_and_all_else_runs_on(
    pretend: Pretend, guest: str
) -> None:
    name, arguments = GUESTS[guest]
    once = "[ -e $0.once ] && { echo back; exec sleep 60; }; touch $0.once; exit 3"
    launch = pretend(arguments=arguments, **{guest: once})
    launch.wait_for(
        f"{name} died: exit status 3",
        rf"{name} is started again in 1 s: all else runs on",
        rf"restarted {name}, process",
        rf"\[{name}\] back",
    )
    assert set(graph.NODES) <= {each.rpartition("-")[0] for each in launch.running_nodes()}
    assert launch.end(signal.SIGINT) == 0


def test_a_guest_that_cannot_be_brought_back_costs_the_exit_status_alone(pretend: Pretend) -> None:
    launch = pretend(recorder="exit 3", arguments=["save_data:=true"])
    launch.wait_for(*(f"recorder-7 is started again in {delay} s" for delay in (1, 2, 4)))
    assert len(launch.running_nodes()) == len(graph.NODES)
    assert launch.end(signal.SIGINT) == 1
    assert launch.lines[-1] == "[vla-launch] recorder-7 had died and was not brought back"


def test_a_guest_that_ends_badly_in_the_end_costs_the_exit_status(pretend: Pretend) -> None:
    recorder = "trap 'exit 1' TERM; echo up; while :; do sleep 0.05; done"
    launch = pretend(recorder=recorder, arguments=["save_data:=true"])
    launch.wait_for("up")
    assert launch.end(signal.SIGINT) == 1
    assert launch.lines[-1] == "[vla-launch] recorder-7 ended badly: exit status 1"


def test_a_guest_that_is_ended_on_purpose_is_not_missed(pretend: Pretend) -> None:
    launch = pretend(recorder="exit 0", arguments=["save_data:=true"])
    launch.wait_for("recorder-7 has ended .exit status 0.: all else runs on")
    assert launch.end(signal.SIGINT) == 0


def test_the_monitor_ends_all_when_its_duration_is_over(pretend: Pretend) -> None:
    launch = pretend(monitor="exit 0")
    assert launch.end() == 0
    assert "[vla-launch] monitor-6 has ended: stopping" in launch.lines


def test_the_monitor_ends_all_when_no_chunk_comes_and_the_launch_has_failed(
    pretend: Pretend,
) -> None:
    launch = pretend(monitor=f"echo why; exit {graph.NO_CHUNK}")
    assert launch.end() == 1
    assert launch.lines[-2:] == [
        "[monitor-6] why",
        "[vla-launch] monitor-6 has ended, without an action chunk: stopping",
    ]


def test_what_chunks_depend_on_is_no_guest() -> None:
    bridges = {"camera_bridge", "robot_bridge", "sensor_bridge"}
    inference = {*bridges, "vlm", "action_expert"}
    assert {spec.name for spec in graph.build({}).nodes if not spec.is_guest} == inference
    assert [graph.guest_delay(deaths) for deaths in (1, 2, 3, 9, 10_000)] == [1, 2, 4, 30, 30]


def test_a_tool_is_started_if_it_is_there_and_stopped_with_the_nodes(
    pretend: Pretend, tmp_path: Path
) -> None:
    program = tmp_path / "lib" / "rviz2" / "rviz2"
    packages = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    for folder in (program.parent, packages):
        folder.mkdir(parents=True)
    program.write_text(
        "#!/bin/sh\ntrap 'echo interrupted; exit 7' INT\necho \"shows $2\"\n"
        "while :; do sleep 0.1; done\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    (packages / "rviz2").touch()
    launch = pretend(arguments=["rviz:=true", "plotjuggler:=true"])
    launch.wait_for(
        r"rviz:=true: started without compressed_image_transport",
        r"plotjuggler:=true: plotjuggler is not installed, so it is not started; all else runs on",
        rf"shows {share_of(tmp_path)}/config/rviz.rviz",
    )
    assert launch.end(signal.SIGINT) == 0  # whatever the guest's own status
    assert any("interrupted" in line for line in launch.lines)


def share_of(folder: Path) -> Path:
    return folder / "share" / graph.PACKAGE

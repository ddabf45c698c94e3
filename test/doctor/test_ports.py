import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import free_port, running
from ipv6 import LOOPBACK, needs_ipv6

from vla_inference_ros.doctor.ports import (
    WantedPort,
    gather_port,
    gather_ports,
    port_is_free,
    wanted_ports,
)
from vla_inference_ros.doctor.result import Result, Status
from vla_inference_ros.doctor.settings import read_settings

HOLD = """
import socket, sys
kind = socket.SOCK_STREAM if sys.argv[1] == "TCP" else socket.SOCK_DGRAM
with socket.socket(socket.AF_INET, kind) as held:
    held.bind((sys.argv[2], 0))
    if kind == socket.SOCK_STREAM:
        held.listen()
    print(held.getsockname()[1], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["TCP", "UDP"])
def held(request: pytest.FixtureRequest) -> Iterator[tuple[WantedPort, int]]:
    """A port that another process has, and that process."""
    command = [sys.executable, "-c", HOLD, request.param, "127.0.0.1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield WantedPort("camera_bridge", "port", request.param, "*", port), process.pid
        process.terminate()


def checked(wanted: WantedPort) -> Result:
    return port_is_free(gather_port(wanted))


def test_the_process_that_has_a_port_is_named(held: tuple[WantedPort, int]) -> None:
    wanted, pid = held
    result = checked(wanted)
    assert result.check == f"port {wanted.protocol} {wanted.port}"
    assert result.status is Status.PROBLEM
    # However long the interpreter's path is.
    assert f"held by {Path(sys.executable).name} -c import socket, sys" in result.finding
    assert f"(process {pid})" in result.finding
    assert "camera_bridge" in result.finding
    assert f"stop it (kill {pid})" in result.remedy


def test_a_free_port_is_free_again() -> None:
    port = free_port(socket.SOCK_STREAM)
    for protocol in ("TCP", "UDP"):
        assert checked(WantedPort("sensor_bridge", "port", protocol, "*", port)).status is Status.OK


def test_a_bridge_of_a_run_that_goes_on_is_known_as_such() -> None:
    port = free_port(socket.SOCK_DGRAM)
    with running("sensor_bridge", port=port) as bridge:
        bridge.wait_until_said("waiting for the sensor")
        facts = gather_port(WantedPort("sensor_bridge", "port", "UDP", "0.0.0.0", port))
        assert facts.held_by_own_node
        assert port_is_free(facts).status is Status.WARNING
        other = gather_port(WantedPort("fault_injector", "port", "UDP", "0.0.0.0", port))
        assert port_is_free(other).status is Status.PROBLEM


@needs_ipv6
@pytest.mark.parametrize("address", ["*", "::", "::1", "[::1]"])
def test_a_port_that_ipv6_has_is_not_free(address: str) -> None:
    port = free_port(socket.SOCK_DGRAM)
    wanted = WantedPort("sensor_bridge", "port", "UDP", address, port)
    assert gather_port(wanted).free
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK, port))
        facts = gather_port(wanted)
    assert facts.error == errno.EADDRINUSE
    assert [holder.pid for holder in facts.holders] == [os.getpid()]


def test_a_process_that_cannot_be_seen_is_not_guessed(tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    (tmp_path / "net").mkdir()
    line = f" 1: 0100007F:{port:04X} 00000000:0000 07 0:0 0:0 0 1001 0 4711 2 0 0"
    (tmp_path / "net" / "udp").write_text(f"sl local\n{line}\n", encoding="utf-8")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        wanted = WantedPort("sensor_bridge", "port", "UDP", "0.0.0.0", port)
        result = port_is_free(gather_port(wanted, tmp_path))
    assert "a process of user 1001 that only root can see" in result.finding
    assert "sudo ss -lptun" in result.remedy


@pytest.mark.parametrize(
    ("address", "port", "reason"),
    [("192.0.2.1", 5555, "Cannot assign"), ("no such host", 5555, ""), ("*", 70000, "1 to 65535")],
)
def test_an_address_that_is_not_ours_is_a_problem(address: str, port: int, reason: str) -> None:
    result = checked(WantedPort("camera_bridge", "port", "TCP", address, port))
    assert result.status is Status.PROBLEM
    assert "cannot be bound" in result.finding
    assert reason in result.finding
    assert "bind_address" in result.remedy


@pytest.mark.parametrize(
    ("given", "nodes"),
    [
        ({}, ["camera_bridge", "sensor_bridge"]),
        ({"sim": "true"}, ["camera_bridge", "sensor_bridge", "sim_robot"]),
        (
            {"sim": "true", "faults": "true"},
            ["camera_bridge", "sensor_bridge", "sim_robot"] + 3 * ["fault_injector"],
        ),
    ],
)
def test_the_ports_are_those_that_a_launch_binds(given: dict[str, str], nodes: list[str]) -> None:
    wanted = wanted_ports(read_settings(given))
    assert [each.node for each in wanted] == nodes
    assert len({(each.protocol, each.port) for each in wanted}) == len(nodes)


def test_two_nodes_with_one_port_are_a_problem() -> None:
    port = str(free_port(socket.SOCK_STREAM))
    settings = read_settings({"sim": "true", "camera_port": port, "robot_port": port})
    camera, _, robot = map(port_is_free, gather_ports(wanted_ports(settings)))
    assert camera.status is Status.OK
    assert robot.status is Status.PROBLEM
    assert "camera_bridge takes it before" in robot.finding

import fcntl
import re
from pathlib import Path

import pytest

from vla_inference_ros.doctor.network import (
    SAFE_LEFTOVERS,
    ReassemblyFacts,
    SharedMemoryFacts,
    discovery,
    gather_buffer,
    gather_loopback,
    gather_multicast,
    gather_reassembly,
    gather_shared_memory,
    loopback,
    reassembly,
    receive_buffer,
    shared_memory,
)
from vla_inference_ros.doctor.result import Status

WANTED = 4 << 20
NAME = "fastdds_0123456789abcdef"


def lo(root: Path, flags: str) -> str:
    folder = root / "class" / "net" / "lo"
    folder.mkdir(parents=True)
    (folder / "flags").write_text(f"{flags}\n", encoding="utf-8")
    return gather_loopback(root)


def test_loopback_that_is_down_is_a_problem(tmp_path: Path) -> None:
    result = loopback(lo(tmp_path, "0x8"))
    assert (result.check, result.status) == ("loopback", Status.PROBLEM)
    assert result.finding == "lo is down"
    assert result.remedy == "sudo ip link set lo up"


def test_loopback_that_is_up_is_well(tmp_path: Path) -> None:
    assert loopback(lo(tmp_path, "0x9")).status is Status.OK


def test_a_host_without_loopback_has_a_problem(tmp_path: Path) -> None:
    (tmp_path / "class" / "net").mkdir(parents=True)
    assert loopback(gather_loopback(tmp_path)).finding == "there is no interface lo"


@pytest.mark.parametrize(
    ("environment", "fault", "status", "word"),
    [
        ({}, "", Status.OK, "SUBNET, multicast works"),
        ({}, "no route for multicast: gone", Status.WARNING, "no route for multicast: gone"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "no route", Status.OK, "LOCALHOST"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, "", Status.PROBLEM, "no node finds another"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"}, "", Status.PROBLEM, "none of SUBNET"),
        ({"ROS_LOCALHOST_ONLY": "1"}, "", Status.WARNING, "deprecated"),
    ],
)
def test_discovery(environment: dict[str, str], fault: str, status: Status, word: str) -> None:
    result = discovery(environment, fault)
    assert result.status is status
    assert word in result.finding
    assert bool(result.remedy) is (status is not Status.OK)


def test_multicast_is_tried_and_its_outcome_is_told() -> None:
    fault = gather_multicast()
    assert fault == "" or fault.startswith(("no route for multicast", "a datagram to a multicast"))


def test_a_small_receive_buffer_is_a_warning(tmp_path: Path) -> None:
    folder = tmp_path / "sys" / "net" / "core"
    folder.mkdir(parents=True)
    (folder / "rmem_max").write_text("212992\n", encoding="utf-8")
    result = receive_buffer(gather_buffer(tmp_path), WANTED)
    assert result.status is Status.WARNING
    assert "net.core.rmem_max is 212992 bytes" in result.finding
    assert result.remedy == "sudo sysctl -w net.core.rmem_max=4194304"

    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "status").write_text(
        "CapEff:\t0000000000001000\n", encoding="utf-8"
    )  # CAP_NET_ADMIN
    assert receive_buffer(gather_buffer(tmp_path), WANTED).status is Status.OK
    (folder / "rmem_max").write_text("4194304\n", encoding="utf-8")
    (tmp_path / "self" / "status").write_text("CapEff:\t0000000000000000\n", encoding="utf-8")
    assert receive_buffer(gather_buffer(tmp_path), WANTED).status is Status.OK


def test_a_kernel_that_hides_the_limit_is_skipped(tmp_path: Path) -> None:
    assert receive_buffer(gather_buffer(tmp_path), WANTED).status is Status.SKIPPED


def test_leftovers_are_those_that_nobody_locks(tmp_path: Path) -> None:
    port, shared, ours = "fastdds_port7411", "fastdds_port7413", "fastdds_port61000"
    for name in (NAME, port, shared, ours, "unrelated"):
        (tmp_path / name).write_bytes(bytes(1000))
    for name in (f"{NAME}_el", f"{port}_el", f"{shared}_sl", f"{ours}_el"):
        (tmp_path / name).touch()
    with (
        (tmp_path / f"{NAME}_el").open("ab") as owner,
        (tmp_path / f"{shared}_sl").open("ab") as reader,
    ):
        fcntl.flock(owner, fcntl.LOCK_EX)
        fcntl.flock(reader, fcntl.LOCK_SH)
        facts = gather_shared_memory(tmp_path)
    assert (facts.leftovers, facts.leftover_bytes) == (1, 1000)
    assert shared_memory(facts).status is Status.OK
    assert gather_shared_memory(tmp_path).leftovers == 3


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (SharedMemoryFacts(1e9, SAFE_LEFTOVERS + 1, 5_000_000), "fastdds shm clean"),
        (SharedMemoryFacts(10e6), "--shm-size"),
        (SharedMemoryFacts(64e6, total=64e6), "--shm-size"),
        (SharedMemoryFacts(-1.0), "tmpfs"),
    ],
)
def test_shared_memory_that_is_full_or_littered_is_a_warning(
    facts: SharedMemoryFacts, word: str
) -> None:
    result = shared_memory(facts)
    assert result.status is Status.WARNING
    assert word in result.remedy


LINUX = ReassemblyFacts(4 << 20, 30.0)


@pytest.mark.parametrize(
    ("facts", "environment", "status", "word"),
    [
        (LINUX, {}, Status.OK, "messages of 4000 bytes, cut into 3: .* room for 3.1 MB/s"),
        (LINUX, {"VLA_MESSAGE_BYTES": "1400"}, Status.OK, "which IP does not cut"),
        (LINUX, {"VLA_MESSAGE_BYTES": "65500"}, Status.WARNING, "nothing large comes any more"),
        (LINUX, {"VLA_MESSAGE_BYTES": "7"}, Status.PROBLEM, "not from 1000 to 65500 bytes"),
        (ReassemblyFacts(256 << 10, 30.0), {}, Status.WARNING, "room for 0.2 MB/s"),
        (ReassemblyFacts(-1), {}, Status.SKIPPED, "does not show"),
        (LINUX, {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, Status.SKIPPED, "LOCALHOST"),
    ],
)
def test_reassembly(
    facts: ReassemblyFacts, environment: dict[str, str], status: Status, word: str
) -> None:
    result = reassembly(facts, environment)
    assert (result.check, result.status) == ("reassembly", status)
    assert re.search(word, result.finding)
    if status is Status.WARNING:
        assert "message_bytes:=1400" in result.remedy
        assert "ipfrag_time=3" in result.remedy


def test_the_kernels_limits_on_reassembly(tmp_path: Path) -> None:
    assert gather_reassembly(tmp_path).room < 0
    folder = tmp_path / "sys" / "net" / "ipv4"
    folder.mkdir(parents=True)
    (folder / "ipfrag_high_thresh").write_text("4194304\n", encoding="utf-8")
    (folder / "ipfrag_time").write_text("30\n", encoding="utf-8")
    assert gather_reassembly(tmp_path) == LINUX

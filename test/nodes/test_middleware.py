from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import rclpy
from rclpy.context import Context
from std_msgs.msg import Empty

from vla_inference_ros.graph import share
from vla_inference_ros.nodes.dds_profile import DATA_PORTS, LARGE_SEGMENT
from vla_inference_ros.nodes.middleware import PROFILES, fast_dds_version, set_up_middleware

TOPIC = "/test_middleware"
TIMEOUT = 30.0  # [s]
ROUNDS = 3  # one heartbeat may fall by chance right behind a message
PUBLISHER = f"""
import time
import rclpy
from std_msgs.msg import Empty
from vla_inference_ros.nodes.middleware import set_up_middleware

set_up_middleware()
rclpy.init()
node = rclpy.create_node("publisher")
publisher = node.create_publisher(Empty, {TOPIC!r}, 10)
while not publisher.get_subscription_count():
    time.sleep(0.01)
time.sleep(0.5)  # what belongs to the meeting of the two is over
for _ in range({ROUNDS}):
    publisher.publish(Empty())
    begin = time.monotonic()
    assert publisher.wait_for_all_acked(rclpy.duration.Duration(seconds={TIMEOUT}))
    print(time.monotonic() - begin)
"""


VARIABLES = [variable for variable, _ in PROFILES.values()]
UNSET = (*VARIABLES, "VLA_MESSAGE_BYTES", "FASTDDS_BUILTIN_TRANSPORTS")
SETTINGS = (*UNSET, "ROS_AUTOMATIC_DISCOVERY_RANGE")
# What a process has once it takes part: its segment of shared memory, where it listens there, the
# threads by which it asks others for types, and whether it hears others by multicast. Ends by a
# signal, and leaves what it has.
LOOK = """
import os, pathlib, re, sys
import rclpy
from vla_inference_ros.nodes.dds_profile import LARGE_SEGMENT
from vla_inference_ros.nodes.middleware import set_up_middleware

print("said", set_up_middleware(LARGE_SEGMENT))
rclpy.init()
node = rclpy.create_node("looker")
print("multicast", "0100FFEF" in pathlib.Path("/proc/net/igmp").read_text())
mapped = pathlib.Path("/proc/self/maps").read_text()  # other processes have theirs
for name in set(re.findall(r"/dev/shm/(fast(?:dds|rtps)_[0-9a-f]{16})$", mapped, re.MULTILINE)):
    print("segment", name, os.stat(f"/dev/shm/{name}").st_blocks * 512)
for port in set(re.findall(r"/dev/shm/fast(?:dds|rtps)_port(\\d+)$", mapped, re.MULTILINE)):
    print("port", port)
for thread in pathlib.Path("/proc/self/task").glob("*/comm"):
    if thread.read_text().startswith("dds.tls"):
        print("asks", thread.read_text())
sys.stdout.flush()
os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SETTINGS:
        monkeypatch.setenv(variable, os.environ.get(variable, ""))  # so that it is put back
    for variable in UNSET:
        monkeypatch.delenv(variable)


@pytest.fixture
def reader() -> Iterator[None]:
    """A node of another process than the publisher's: within one, nothing can get lost."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("reader", context=context)
    node.create_subscription(Empty, TOPIC, lambda _: None, 10)
    yield
    node.destroy_node()
    rclpy.shutdown(context=context)


def duration(element: ElementTree.Element | None) -> float:
    """[s]"""
    assert element is not None
    seconds, rest = (float(element.findtext(f"{{*}}{part}") or 0) for part in ("sec", "nanosec"))
    return seconds + rest / 1e9


@pytest.mark.parametrize("file", [file for _, file in PROFILES.values()])
def test_nodes_announce_themselves_for_two_seconds_and_then_every_half(file: str) -> None:
    profiles = ElementTree.fromstring((share() / "config" / file).read_text(encoding="utf-8"))
    found = profiles.find(".//{*}participant[@is_default_profile='true']//{*}discovery_config")
    assert found is not None
    assert duration(found.find("{*}leaseAnnouncement")) == 0.5
    first = found.find("{*}initialAnnouncements")
    assert first is not None
    assert float(first.findtext("{*}count") or 0) * duration(first.find("{*}period")) == 2.0


@pytest.mark.parametrize("file", [file for _, file in PROFILES.values()])
def test_a_node_is_forgotten_after_several_announcements_and_before_its_queue_is_dead(
    file: str,
) -> None:
    profiles = ElementTree.fromstring((share() / "config" / file).read_text(encoding="utf-8"))
    known = duration(profiles.find(".//{*}leaseDuration"))
    announced = duration(profiles.find(".//{*}leaseAnnouncement"))
    dead = float(profiles.findtext(".//{*}healthy_check_timeout_ms") or 0) / 1000
    assert 4 * announced < known <= dead - announced


@pytest.mark.usefixtures("reader")
def test_readers_soon_hear_what_there_is_and_the_middleware_has_no_complaint(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUBLISHER],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=(ROUNDS + 1) * TIMEOUT,
        encoding="utf-8",
        cwd=tmp_path,  # not where the sources are, which lack what is built
    )
    assert done.returncode == 0, done.stdout
    waited = [float(line) for line in done.stdout.splitlines()]  # no line is a complaint
    assert len(waited) == ROUNDS
    assert min(waited) < 1.0, waited  # by default about 3


def look(*place: str, **environment: str) -> dict[str, list[str]]:
    """What a process of its own has, by its first word, with these variables."""
    done = subprocess.run(
        [*place, sys.executable, "-c", LOOK],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        encoding="utf-8",
        env={**os.environ, **environment},
        cwd="/",  # not where the sources are, which lack what is built
    )
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    assert done.returncode == -9, done.stdout
    return found


@pytest.mark.parametrize(("confined", "by_multicast"), [("LOCALHOST", "False"), ("SUBNET", "True")])
def test_a_process_has_one_segment_with_room_for_a_second_wherever_it_looks_for_others(
    confined: str, by_multicast: str
) -> None:
    found = look(ROS_AUTOMATIC_DISCOVERY_RANGE=confined)
    # The middleware complains of nothing.
    assert set(found) == {"said", "multicast", "segment", "port"}
    (size,) = (int(each.split()[1]) for each in found["segment"])
    assert LARGE_SEGMENT < size < 1.1 * LARGE_SEGMENT  # taken from the start, not sparse
    assert found["multicast"] == [by_multicast]
    assert found["said"] == [""]


def test_a_process_asks_no_other_for_types() -> None:
    """Fast DDS 3 now and then forgets a publisher that is found while it does."""
    assert "asks" not in look()


def test_transports_that_the_user_has_chosen_are_taken() -> None:
    found = look(ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET", FASTDDS_BUILTIN_TRANSPORTS="UDPv4")
    assert "segment" not in found
    assert set(found) == {"said", "multicast"}


def test_another_middleware_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rclpy, "get_rmw_implementation_identifier", lambda: "rmw_cyclonedds_cpp")
    before = dict(os.environ)
    assert not set_up_middleware()
    assert dict(os.environ) == before


def test_a_restarted_process_does_not_listen_where_the_killed_one_did() -> None:
    """Who still sends there would not know of the new one."""

    # But for the port where it hears the names of nodes, which is the lowest free one.
    heard_at = [{int(port) for port in look()["port"] if int(port) >= 7400} for _ in range(3)]
    assert all(heard_at)
    assert len(set(map(frozenset, heard_at))) > 1  # two in a row may be the same by chance
    assert all(port >= DATA_PORTS[0] for ports in heard_at for port in ports)


def test_what_a_killed_process_has_left_is_removed_by_the_next() -> None:
    """A run whose nodes are killed and restarted would fill /dev/shm with their segments."""
    (left,) = look()["segment"]
    segment = Path("/dev/shm", left.split()[0])
    assert segment.exists()
    look()
    assert not segment.exists()


def test_where_shared_memory_is_small_it_starts_and_says_what_to_do() -> None:
    small = ["unshare", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm"
    if subprocess.run([*small, mount], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    found = look(*small, f'{mount} && exec "$@"', "sh")
    (size,) = (int(each.split()[1]) for each in found["segment"])
    assert size < 1 << 20
    (said,) = found["said"]
    assert "/dev/shm has 67 MB" in said
    assert "docker: --shm-size=1g" in said


def test_a_size_of_messages_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("VLA_MESSAGE_BYTES", "7")
    with pytest.raises(ValueError, match="VLA_MESSAGE_BYTES is '7', not from 1000 to 65500 bytes"):
        set_up_middleware()


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_users_own_settings_stay(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "mine.xml")
    set_up_middleware()
    assert {each: os.environ.get(each) for each in VARIABLES} == {
        **dict.fromkeys(VARIABLES),
        variable: "mine.xml",
    }


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), ("root:x:0:0", "no XML: ")], ids=["none", "text"]
)
def test_a_users_own_file_that_cannot_be_read_is_named(
    variable: str,
    content: str | None,
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fast DDS only says so in a line of its own, and goes on with its defaults."""
    file = tmp_path / "mine.xml"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    monkeypatch.setenv(variable, str(file))
    said = set_up_middleware()
    assert said.startswith(
        f"the variable {variable} is '{file}', which Fast DDS cannot read ({why}"
    )
    assert "defaults, with which pictures are lost" in said
    file.write_text("<dds/>", encoding="utf-8")
    assert not set_up_middleware()


def test_a_variable_that_is_empty_names_no_file() -> None:
    assert "segment" in look(**dict.fromkeys(VARIABLES, ""))


def test_fast_dds_is_that_of_the_installation_of_rclpy(tmp_path: Path) -> None:
    rclpy_file = tmp_path / "lib" / "python3.12" / "site-packages" / "rclpy" / "__init__.py"
    assert fast_dds_version(rclpy_file) == 3
    (tmp_path / "share" / "fastrtps").mkdir(parents=True)
    assert fast_dds_version(rclpy_file) == 2

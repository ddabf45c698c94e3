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


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")  # so that it is put back, also if it was not there
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


@pytest.mark.parametrize("file", [file for _, file in PROFILES.values()])
def test_nodes_announce_themselves_every_second(file: str) -> None:
    profiles = ElementTree.fromstring((share() / "config" / file).read_text(encoding="utf-8"))
    period = profiles.find(".//{*}participant[@is_default_profile='true']//{*}leaseAnnouncement")
    assert period is not None
    assert period.findtext("{*}sec") == "1"


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


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_users_own_settings_stay(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "mine.xml")
    set_up_middleware()
    assert {each: os.environ.get(each) for each in VARIABLES} == {
        **dict.fromkeys(VARIABLES),
        variable: "mine.xml",
    }


def test_fast_dds_is_that_of_the_installation_of_rclpy(tmp_path: Path) -> None:
    rclpy_file = tmp_path / "lib" / "python3.12" / "site-packages" / "rclpy" / "__init__.py"
    assert fast_dds_version(rclpy_file) == 3
    (tmp_path / "share" / "fastrtps").mkdir(parents=True)
    assert fast_dds_version(rclpy_file) == 2

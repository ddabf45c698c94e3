"""Every test process has a ROS domain of its own, stays on this machine, and checks its messages.

Set before anything imports rclpy or torch, and inherited by the nodes that tests start.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from pathlib import Path
from typing import IO

import pytest
from certificates import Certificate, certificate
from ros_names import may_need_ros

_DOMAINS = range(1, 101)  # those whose ports all lie below Linux's range of ephemeral ports


def _claim_domain() -> tuple[int, IO[str]]:
    """A domain that no other test process on this machine has, and the lock that keeps it."""
    for domain in _DOMAINS:
        path = Path(tempfile.gettempdir(), f"vla_inference_ros_test_domain_{domain}.lock")
        lock = path.open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return domain, lock
    raise RuntimeError(f"all ROS domains from {_DOMAINS[0]} to {_DOMAINS[-1]} are in use")


# A shell has what it starts in the background ignore Ctrl+C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_domain, _lock = _claim_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["PYTHONFAULTHANDLER"] = "1"  # a node that must be aborted says where it has hung
# OpenMP's threads wait for each other by spinning, which takes the CPU from the other processes.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the long tests in full length")
    parser.addoption("--ros", action="store_true", help="run only tests that may depend on ROS")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what ``--ros`` does. With several test processes, the files that take longest come
    first: near the end none of the processes is left alone with much.
    """
    if config.getoption("--ros"):
        left_out = [item for item in items if not may_need_ros(item.path)]
        items[:] = [item for item in items if may_need_ros(item.path)]
        config.hook.pytest_deselected(items=left_out)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "graph" not in item.path.parts)


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether the long tests run in full length."""
    return bool(pytestconfig.getoption("--full"))


@pytest.fixture(scope="session")
def patience(full: bool) -> float:
    """By how much a time that is promised may be exceeded beside other tests: a factor."""
    return 1.0 if full else 5.0


@pytest.fixture
def server(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, "server")


@pytest.fixture
def client(tmp_path: Path) -> Certificate:
    return certificate(tmp_path, "client")

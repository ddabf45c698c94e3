"""A node that has too little address space: a sentence says so, whatever library ends it."""

from __future__ import annotations

import subprocess

import pytest
from harness import TIMEOUT

from vla_inference_ros.graph import PACKAGE, prefix


@pytest.mark.parametrize("name", ["robot_bridge", "recorder"])
def test_the_limit_is_told(name: str) -> None:
    node = str(prefix() / "lib" / PACKAGE / name)
    limited = ["sh", "-c", 'ulimit -v 450000; exec "$1"', "sh", node]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode != 0
    assert "no process may have more than 461 MB of address space here" in done.stderr
    assert "'ulimit -v unlimited'" in done.stderr

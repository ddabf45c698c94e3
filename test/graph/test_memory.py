"""A node that has too little address space: a sentence says so, whatever library ends it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from harness import TIMEOUT

from vla_inference_ros.graph import PACKAGE, prefix


@pytest.mark.parametrize("name", ["robot_bridge", "recorder"])
def test_the_limit_is_told(name: str, tmp_path: Path) -> None:
    """Whether the node can be started with so little or not."""
    node = str(prefix() / "lib" / PACKAGE / name)
    limited = ["sh", "-c", 'ulimit -v 450000; exec "$1"', "sh", node]
    process = subprocess.Popen(limited, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = next(line for line in process.stderr if "address space" in line)
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)
    assert "no process may have more than 461 MB of address space here" in said
    assert "'ulimit -v unlimited'" in said

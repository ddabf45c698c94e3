"""What a node's process is like while it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = """
import dataclasses, gc, sys
from vla_inference_ros.nodes.vla_node import VlaNode, run

@dataclasses.dataclass(frozen=True)
class Config:
    pass

class Looker(VlaNode[Config]):
    def __init__(self):
        super().__init__("looker", Config)
        self.kept = [[number] for number in range(100_000)]

    def look(self):
        print(f"looked through: {len(gc.get_objects())}, kept: {len(self.kept)}")
        self.finished = True

sys.exit(run(Looker))
"""


def test_the_garbage_collector_leaves_alone_what_was_there_at_the_start(tmp_path: Path) -> None:
    script = tmp_path / "looker.py"
    script.write_text(_SCRIPT, encoding="utf-8")
    command = [sys.executable, str(script)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("looked through")]
    looked_through, kept = (int(part.rpartition(" ")[2]) for part in line.split(","))
    assert looked_through < kept // 10


def test_a_node_that_hangs_at_its_end_ends_all_the_same_and_says_where(tmp_path: Path) -> None:
    """As the middleware's teardown may, with the interpreter's lock: no thread of Python's runs."""
    script = tmp_path / "looker.py"
    hanging = """
    def release(self):
        import ctypes
        ctypes.PyDLL(None).sleep(60)
"""
    script.write_text(_SCRIPT.replace("\nsys.exit", f"{hanging}\nsys.exit"), encoding="utf-8")
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "in release" in done.stderr

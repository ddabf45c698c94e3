"""colcon builds the repository, plain and with --symlink-install, and what it installs works."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "vla_inference_ros"
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "build", "install", "log", "*.egg-info", ".*_cache"
)
EXECUTABLES = {
    "camera_bridge",
    "robot_bridge",
    "sensor_bridge",
    "vlm",
    "action_expert",
    "monitor",
    "sim_camera",
    "sim_robot",
    "sim_sensor",
    "vla-launch",
}


def test_the_version_is_that_of_package_xml() -> None:
    version = re.search(r"<version>(.+)</version>", (ROOT / "package.xml").read_text())
    assert version is not None
    assert importlib.metadata.version(PACKAGE) == version[1]


@pytest.mark.parametrize("option", ["--merge-install", "--symlink-install"])
def test_colcon_builds_a_package_that_works(tmp_path: Path, option: str) -> None:
    shutil.copytree(ROOT, tmp_path / "src" / PACKAGE, ignore=LEFT_OUT)
    binaries = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "CMAKE_PREFIX_PATH": sys.prefix,
        "AMENT_PREFIX_PATH": sys.prefix,
    }
    build = ["colcon", "build", option, "--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}"]
    run(build, tmp_path, environment)
    (prefix,) = {path.parents[2] for path in tmp_path.glob(f"install/**/lib/{PACKAGE}/monitor")}
    assert {path.name for path in (prefix / "lib" / PACKAGE).iterdir()} == EXECUTABLES
    share = prefix / "share" / PACKAGE
    assert (share / "launch" / "async.launch.py").is_file()
    assert (share / "config" / "async.yaml").is_file()
    check = f"""
import os, sys
from vla_inference_ros import graph
from vla_inference_ros.msg import ActionChunk
assert os.path.realpath(graph.share()) == os.path.realpath({str(share)!r}), graph.share()
assert ActionChunk(vl_reuse_limit=4).vl_reuse_limit == 4
assert ActionChunk.__module__.startswith("vla_inference_ros.msg")
assert {str(tmp_path)!r} in sys.modules[ActionChunk.__module__].__file__
"""
    (tmp_path / "check.py").write_text(check)
    overlay = f". install/setup.sh && exec {sys.executable} check.py"
    run(["sh", "-c", overlay], tmp_path, environment)
    node = f". install/setup.sh && exec {prefix}/lib/{PACKAGE}/monitor --ros-args -p duration:=nan"
    done = subprocess.run(
        ["sh", "-c", node],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, "parameter 'duration'" in done.stderr) == (1, True), done.stderr


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

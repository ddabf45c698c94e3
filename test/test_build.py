"""The package in a ROS workspace: colcon builds it, what that installs runs; what it says it needs.

Both kinds of installation come from one compilation, which takes most of the time.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from launching import Launch

from vla_inference_ros import graph

ROOT = Path(__file__).parents[1]
LEFT_OUT = (".git", ".venv*", "build", "install", "log", "*.egg-info", ".*_cache", "__pycache__")
COMMANDS = {"vla-launch", "vla-recover", "vla-resend", "vla-replay", "vla-export", "vla-report"}
COMMANDS |= {"vla-doctor"}
EXECUTABLES = {*graph.ALL_NODES, *COMMANDS}
# Modules whose packages are called otherwise: by rosdep, by pip.
NAMES = {
    "backports": ("python3-rosbags-pip", "rosbags"),  # zstd and lz4 come with it
    "compression": ("python3-rosbags-pip", "rosbags"),  # Python's own zstd, from 3.14 on
    "cv2": ("python3-opencv", "opencv-python-headless"),
    "huggingface_hub": ("python3-transformers-pip", "transformers"),  # comes with it
    "lz4": ("python3-rosbags-pip", "rosbags"),
    "matplotlib": ("python3-matplotlib", "matplotlib"),
    "numpy": ("python3-numpy", "numpy"),
    "rosbags": ("python3-rosbags-pip", "rosbags"),
    "safetensors": ("python3-transformers-pip", "transformers"),  # comes with it
    "simplejpeg": ("python3-simplejpeg-pip", "simplejpeg"),
    "tokenizers": ("python3-transformers-pip", "transformers"),  # comes with it
    "tornado": ("python3-tornado", "tornado"),
    "tqdm": ("python3-tqdm", "tqdm"),
    "torch": ("python3-pytorch-pip", "torch"),
    "transformers": ("python3-transformers-pip", "transformers"),
    "yaml": ("python3-yaml", "pyyaml"),
    "zmq": ("python3-zmq", "pyzmq"),
}
EXTRAS = {"pyarrow": "lerobot"}  # imported where they are needed; with the extra that brings them

# --- the workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT, folder / "src" / graph.PACKAGE, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return folder


@pytest.fixture(scope="module", params=["plain", "symlink"])
def install(request: pytest.FixtureRequest, workspace: Path) -> Path:
    """The workspace's folder with the setup files."""
    # ament cannot change this folder from one kind of installation to the other.
    shutil.rmtree(workspace / "build" / graph.PACKAGE / "ament_cmake_python", ignore_errors=True)
    folder = workspace / f"install_{request.param}"
    done = subprocess.run(
        [
            *("colcon", "build", "--install-base", folder.name),
            *(["--symlink-install"] if request.param == "symlink" else []),
            *("--cmake-args", f"-DPython3_EXECUTABLE={sys.executable}"),
        ],
        cwd=workspace,
        env={**os.environ, **environment()},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def environment() -> dict[str, str]:
    """Finds the tools and ROS packages beside this Python: a virtual environment is not sourced."""
    beside = {"PATH": str(Path(sys.executable).parent)} | dict.fromkeys(
        ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH"), sys.prefix
    )
    return {k: os.pathsep.join(filter(None, [v, os.environ.get(k)])) for k, v in beside.items()}


def sourced(install: Path, *command: str) -> list[str]:
    """The command, as one types it after sourcing the workspace."""
    return ["sh", "-c", f'. {install}/setup.sh && exec "$@"', "sh", *command]


def test_all_is_installed(install: Path) -> None:
    prefix = install / graph.PACKAGE
    executables = list((prefix / "lib" / graph.PACKAGE).iterdir())
    assert {path.name for path in executables} == EXECUTABLES
    assert all(os.access(path, os.X_OK) for path in executables)
    for folder in ("config", "launch", "msg"):
        source = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        installed = {path.name for path in (prefix / "share" / graph.PACKAGE / folder).iterdir()}
        assert source <= installed
    python = next(prefix.glob(f"lib/python*/*-packages/{graph.PACKAGE}"))
    for file in (ROOT / graph.PACKAGE).rglob("*.py"):
        assert (python / file.relative_to(ROOT / graph.PACKAGE)).is_file()


def test_messages_and_modules_are_the_workspaces(install: Path) -> None:
    code = """
import sys
from rclpy.serialization import deserialize_message, serialize_message
from vla_inference_ros import graph
from vla_inference_ros.msg import ActionChunk
chunk = deserialize_message(serialize_message(ActionChunk(horizon=8)), ActionChunk)
print(chunk.horizon, graph.prefix(), sys.modules[ActionChunk.__module__].__file__)
"""
    done = subprocess.run(
        sourced(install, sys.executable, "-c", code),
        cwd=install,  # Python looks here first
        env={**os.environ, **environment()},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    horizon, prefix, module = done.stdout.split()
    assert (horizon, Path(prefix)) == ("8", install / graph.PACKAGE)
    assert Path(module).is_relative_to(install)


def test_an_executable_runs_and_stops(install: Path, workspace: Path) -> None:
    monitor = str(install / graph.PACKAGE / "lib" / graph.PACKAGE / "monitor")
    command = sourced(install, monitor, "--ros-args", "-p", "status_period:=0.2")
    launch = Launch(command, environment=environment())
    try:
        launch.wait_for("--- Status")
        maps = Path(f"/proc/{launch.process.pid}/maps").read_text(encoding="utf-8")
        libraries = re.findall(rf"/\S*/lib{graph.PACKAGE}__\S*", maps)
        assert libraries
        assert all(Path(library).is_relative_to(workspace) for library in libraries), libraries
        assert launch.end(signal.SIGINT) == 0
    finally:
        launch.clean_up()


# --- what the package says of itself


def manifest(*tags: str) -> set[str]:
    """The texts of package.xml's elements of these kinds."""
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    return {element.text or "" for tag in tags for element in package.iter(tag)}


def imported() -> set[str]:
    """The packages that nodes and launch files import, other than Python's own and ours."""
    modules: set[str] = set()
    for file in [*(ROOT / graph.PACKAGE).rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(name.name for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module)
    packages = {module.partition(".")[0] for module in modules}
    return packages - sys.stdlib_module_names - {graph.PACKAGE} - set(EXTRAS)


def test_the_version_is_that_of_package_xml() -> None:
    assert manifest("version") == {importlib.metadata.version(graph.PACKAGE)}


def test_package_xml_names_what_is_imported() -> None:
    needed = {NAMES[name][0] if name in NAMES else name for name in imported()}
    assert manifest("depend", "exec_depend") == needed | {"rosidl_default_runtime"}


def test_pip_is_told_what_is_imported() -> None:
    needed = {NAMES[name][1] for name in imported() & set(NAMES)}
    required = importlib.metadata.requires(graph.PACKAGE) or []
    for requirements in (
        [line for line in required if "extra ==" not in line],
        (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8").splitlines(),
    ):
        names = {re.match(r"[\w.-]+", line) for line in requirements if not line.startswith("#")}
        assert {name[0] for name in names if name} == needed
    for module, extra in EXTRAS.items():
        assert f'{module}; extra == "{extra}"' in required

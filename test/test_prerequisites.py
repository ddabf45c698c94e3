"""What is said and done where Python or a compiler is absent, with stand-ins for what installs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "prerequisites"
NO_PYTHON = "There is no python3 here, and vla_inference_ros needs Python 3.10 or newer"


class Machine:
    """A folder that is all of PATH: ``id`` says who runs it, ``apt-get`` what it is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._put("sh", shutil.which("sh"))

    def _put(self, name: str, program: str | None) -> None:
        assert program is not None
        (self._folder / name).symlink_to(program)

    def script(self, name: str, text: str) -> None:
        program = self._folder / name
        program.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        program.chmod(0o755)

    def run(self, python: str = "python3") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._folder / "sh", SCRIPT, python],
            env={"PATH": str(self._folder)},
            capture_output=True,
            encoding="utf-8",
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.script("g++", "exit 0")
    return machine


def test_python_is_installed_as_a_compiler_is(machine: Machine, tmp_path: Path) -> None:
    machine.script("id", "echo 0")
    found = f"printf '#!/bin/sh\\nexit 0\\n' > {tmp_path}/python3; /bin/chmod +x {tmp_path}/python3"
    machine.script("apt-get", f'echo "$@"\ncase "$*" in *" python3 "*) {found} ;; esac')
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, f"{NO_PYTHON}\n")
    assert done.stdout.splitlines()[1].endswith(" python3 python3-venv python3-dev")


def test_without_the_right_to_install_python_is_said_to_be_absent(machine: Machine) -> None:
    machine.script("id", "echo 1000")
    done = machine.run()
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        NO_PYTHON,
        "Please install these first: sudo apt-get install python3 python3-venv python3-dev",
    ]


def test_a_python_of_ones_own_that_is_absent_is_named(machine: Machine) -> None:
    done = machine.run("python3.99")
    assert done.returncode == 1
    assert done.stderr.startswith("There is no python3.99 here, and ")
    assert done.stderr.count("\n") == 1


def test_an_old_python_says_which_it_is(machine: Machine) -> None:
    machine.script("python3", '[ "$1" = --version ] && echo Python 3.8.10\nexit 1')
    done = machine.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("needs Python 3.10 or newer; this is Python 3.8.10\n")


def test_where_all_is_there_nothing_is_done(machine: Machine) -> None:
    machine.script("python3", "exit 0")
    done = machine.run()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_compiler_that_is_absent_is_installed(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "g++").unlink()
    machine.script("python3", "exit 0")
    machine.script("id", "echo 0")
    machine.script("apt-get", 'echo "$@"')
    done = machine.run()
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].endswith(" --no-install-recommends g++")

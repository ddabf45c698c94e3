from __future__ import annotations

from pathlib import Path

import pytest

from vla_inference_ros import graph
from vla_inference_ros.launch_arguments import ARGUMENTS
from vla_inference_ros.mistyped import is_run_itself, nearest, strange, unknown

NAMES = [argument.name for argument in ARGUMENTS]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("modle", "model"), ("Model", "model"), ("duraton", "duration"), ("recrod", "record")),
        *(
            ("sensorport", "sensor_port"),
            ("fusion", "fusion_strategy"),
            ("checkpont", "checkpoint"),
        ),
        *(("", ""), ("operator", ""), ("robot_name", ""), ("x" * 10_000, "")),
    ],
)
def test_the_nearest_name_is_named(name: str, meant: str) -> None:
    assert nearest(name, NAMES) == meant
    told = unknown("argument", name, NAMES)
    if meant:
        begin = f"unknown argument {name!r}: is {meant} meant? (known are action_rate, "
    else:
        begin = f"unknown argument {name!r}; known are action_rate, "
    assert told.startswith(begin)


@pytest.mark.parametrize(
    ("command", "itself"),
    [
        ("launch PACKAGE async.launch.py model:=stub", True),
        ("launch --noninteractive -d PACKAGE async.launch.py", True),
        ("launch FILE model:=stub", True),
        ("launch PACKAGE demo.launch.py", False),
        ("launch other async.launch.py", False),  # one of the same name, which includes ours
        ("launch OTHER model:=stub", False),
        ("launch rig.launch.py file:=async.launch.py", False),
        ("", False),
    ],
)
def test_a_file_that_is_run_itself_is_told_by_the_command_line(
    command: str, itself: bool, tmp_path: Path
) -> None:
    file = tmp_path / "async.launch.py"
    other = tmp_path / "other" / "async.launch.py"
    other.parent.mkdir()
    for each in (file, other):
        each.touch()
    places = {"PACKAGE": graph.PACKAGE, "FILE": str(file), "OTHER": str(other)}
    words = [places.get(word, word) for word in command.split()]
    assert is_run_itself(words, graph.PACKAGE, file) is itself


def test_arguments_of_launch_itself_are_not_strange() -> None:
    given = dict.fromkeys(["model", "launch-prefix", "sigterm_timeout", "modle"], "x")
    assert strange(given, NAMES) == ["modle"]

import dataclasses
import math
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
import yaml
from configs import config_type, limits
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_inference_ros import graph
from vla_inference_ros.nodes.parameters import (
    ParameterError,
    Specification,
    declare,
    follow,
    parameter,
    specifications,
)
from vla_inference_ros.nodes.verbosity import CommonConfig

TIMEOUT = 30.0  # s, for a node that should end at once
ALL_NODES = graph.ALL_NODES
FILE = graph.share() / "config" / "async.yaml"


def all_of(node: str) -> dict[str, tuple[Any, Specification]]:
    """(default, specification) of every parameter of a node, by name."""
    return {**specifications(CommonConfig), **specifications(config_type(node))}


def comments_in_file() -> dict[tuple[str, str], str]:
    """The comment above every parameter, on one line, by node and parameter."""
    comments: dict[tuple[str, str], str] = {}
    node, comment = "", []
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"(\w+):", line):
            node = match[1]
        elif match := re.fullmatch(r"    # (.*)", line):
            comment.append(match[1])
        elif match := re.match(r"    (\w+):", line):
            comments[node, match[1]] = " ".join(comment)
            comment = []
    return comments


# --- config/async.yaml


def test_the_file_holds_every_parameter_with_its_default_and_no_other() -> None:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert set(content) == set(ALL_NODES)
    for node in ALL_NODES:
        assert set(content[node]) == {"ros__parameters"}
        in_file = content[node]["ros__parameters"]
        assert set(in_file) == set(all_of(node))
        for name, (default, _) in all_of(node).items():
            assert in_file[name] == default, name
            assert type(in_file[name]) is type(default), name  # ROS tells 2 from 2.0


def test_the_file_says_of_every_parameter_what_ros2_param_describe_says() -> None:
    expected = {
        (node, name): specification.description + limits(default, specification)
        for node in ALL_NODES
        for name, (default, specification) in all_of(node).items()
    }
    assert comments_in_file() == expected


@pytest.mark.parametrize("node", ALL_NODES)
def test_no_node_has_a_parameter_twice(node: str) -> None:
    assert not set(specifications(CommonConfig)) & set(specifications(config_type(node)))


@pytest.mark.parametrize("node", ALL_NODES)
def test_every_parameter_is_described_and_its_default_is_allowed(node: str) -> None:
    for name, (default, specification) in all_of(node).items():
        assert specification.description, name
        assert isinstance(default, bool | int | float | str | list), name
        if isinstance(default, list):
            assert default, name  # an empty list would have no type
        low, high = specification.minimum, specification.maximum
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert low is not None, name
            assert high is not None, name
            assert low <= default <= high, name
        else:
            assert (low, high) == (None, None), name
        if specification.choices:
            assert default in specification.choices, name


# --- declare


@dataclasses.dataclass(frozen=True, slots=True)
class Config:
    port: int = parameter(80, "port to use", minimum=1, maximum=100)
    rate: float = parameter(10.0, "rate [Hz]", minimum=0.5, maximum=20.0)
    mode: str = parameter("slow", "how", choices=("slow", "fast"))
    raw: bool = parameter(False, "raw too")
    names: list[str] = parameter(["a", "b"], "names")


@pytest.fixture(scope="module")
def _ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture
def node(_ros: None, request: pytest.FixtureRequest) -> Iterator[Node]:
    """A node with the parameter overrides that the test is given."""
    overrides = [Parameter(name, value=value) for name, value in getattr(request, "param", ())]
    node = Node("parameters_test", parameter_overrides=overrides)
    yield node
    node.destroy_node()


def test_defaults_are_in_force_and_not_shared(node: Node) -> None:
    config = declare(node, Config)
    assert config == Config(80, 10.0, "slow", False, ["a", "b"])
    assert config.names is not Config().names is not Config().names
    assert node.get_parameter("port").value == 80


@pytest.mark.parametrize(
    "node",
    [[("port", 100), ("rate", 0.5), ("mode", "fast"), ("raw", True), ("names", ["c"])]],
    indirect=True,
)
def test_given_values_are_in_force_up_to_the_ends_of_the_range(node: Node) -> None:
    assert declare(node, Config) == Config(100, 0.5, "fast", True, ["c"])


def test_parameters_are_described_and_read_only(node: Node) -> None:
    declare(node, Config)
    described: dict[str, ParameterDescriptor] = {
        name: node.describe_parameter(name) for name in specifications(Config)
    }
    assert [d.description for d in described.values()] == [
        "port to use",
        "rate [Hz]",
        "how",
        "raw too",
        "names",
    ]
    assert all(d.read_only and not d.dynamic_typing for d in described.values())
    (port,) = described["port"].integer_range
    assert (port.from_value, port.to_value, port.step) == (1, 100, 0)
    (rate,) = described["rate"].floating_point_range
    assert (rate.from_value, rate.to_value, rate.step) == (0.5, 20.0, 0.0)
    assert described["mode"].additional_constraints == "one of slow, fast"
    (result,) = node.set_parameters([Parameter("port", value=81)])
    assert not result.successful
    assert node.get_parameter("port").value == 80


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ([("port", "abc")], "'port': .*'abc' of type 'STRING', expecting type 'INTEGER'"),
        ([("port", 8.5)], "'port': .*expecting type 'INTEGER'"),
        ([("port", True)], "'port': .*expecting type 'INTEGER'"),
        ([("port", 0)], "'port': .*Min: 1, Max: 100, value: 0"),
        ([("port", 101)], "'port': .*Min: 1, Max: 100, value: 101"),
        ([("rate", 10)], "'rate': .*expecting type 'DOUBLE'"),
        ([("rate", 0.4)], r"'rate': .*Min: 0.5, Max: 20.0, value: 0\.4"),
        ([("rate", float("nan"))], "'rate': .*value: nan"),
        ([("rate", math.nextafter(20.0, 21.0))], r"'rate' is 20\.0{14}4, not 0\.5 to 20"),
        ([("rate", float("inf"))], "'rate': .*value: inf"),
        ([("mode", "maybe")], "'mode' is 'maybe', not one of slow, fast"),
        ([("mode", "")], "'mode' is '', not one of slow, fast"),
        ([("raw", "true")], "'raw': .*expecting type 'BOOL'"),
        ([("names", "a")], "'names': .*expecting type 'STRING_ARRAY'"),
        ([("names", None)], "'names' is empty"),
    ],
    indirect=["node"],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(node: Node, message: str) -> None:
    with pytest.raises(ParameterError, match=f"^parameter {message}"):
        declare(node, Config)


# --- follow


@dataclasses.dataclass(frozen=True, slots=True)
class Changing:
    port: int = parameter(80, "port to use", minimum=1, maximum=100)
    rate: float = parameter(10.0, "rate [Hz]", minimum=0.5, maximum=20.0, dynamic=True)
    mode: str = parameter("slow", "how", choices=("slow", "fast"), dynamic=True)


@pytest.fixture
def heard(node: Node) -> list[Changing]:
    """What is told of the node's changes."""
    heard: list[Changing] = []
    follow(node, declare(node, Changing), heard.append)
    return heard


def refusals(node: Node, **values: bool | int | float | str) -> list[str]:
    """The reasons; empty for what is taken."""
    given = [Parameter(name, value=value) for name, value in values.items()]
    results = node.set_parameters(given)
    assert [result.successful for result in results] == [not result.reason for result in results]
    return [result.reason for result in results]


def test_only_dynamic_parameters_may_be_set(node: Node, heard: list[Changing]) -> None:
    assert [node.describe_parameter(name).read_only for name in specifications(Changing)] == [
        True,
        False,
        False,
    ]
    (reason,) = refusals(node, port=81)
    assert "read-only" in reason
    assert heard == []


def test_changes_are_told_with_all_values_in_force(node: Node, heard: list[Changing]) -> None:
    assert refusals(node, rate=20.0) == [""]
    assert refusals(node, mode="fast") == [""]
    assert refusals(node, rate=0.5) == [""]
    assert heard == [
        Changing(80, 20.0, "slow"),
        Changing(80, 20.0, "fast"),
        Changing(80, 0.5, "fast"),
    ]


def test_parameters_set_at_once_are_told_at_once(node: Node, heard: list[Changing]) -> None:
    both = [Parameter("rate", value=5.0), Parameter("mode", value="fast")]
    assert node.set_parameters_atomically(both).successful
    assert heard == [Changing(80, 5.0, "fast")]
    bad = [Parameter("rate", value=6.0), Parameter("mode", value="maybe")]
    assert not node.set_parameters_atomically(bad).successful
    assert len(heard) == 1
    assert node.get_parameter("rate").value == 5.0


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rate", 20.5, "Max: 20.0, value: 20.5"),
        ("rate", math.nan, "value: nan"),
        (
            "rate",
            math.nextafter(20.0, 21.0),
            "^parameter 'rate' is 20.000000000000004, not 0.5 to 20$",
        ),
        ("rate", "fast", "Wrong parameter type"),
        ("mode", "maybe", "^parameter 'mode' is 'maybe', not one of slow, fast$"),
    ],
)
def test_a_change_to_what_cannot_be_used_is_refused_with_the_reason(
    name: str, value: float | str, reason: str, node: Node, heard: list[Changing]
) -> None:
    before = node.get_parameter(name).value
    (said,) = refusals(node, **{name: value})
    assert re.search(reason, said)
    assert node.get_parameter(name).value == before
    assert heard == []


def test_parameters_of_others_are_not_told(node: Node, heard: list[Changing]) -> None:
    node.declare_parameter("other", 1)
    assert refusals(node, other=2) == [""]
    assert heard == []


# --- nodes


@pytest.mark.parametrize(
    ("executable", "override", "message"),
    [
        ("camera_bridge", "port:=99999999", "parameter 'port': .*Max: 65535, value: 99999999"),
        ("sensor_bridge", "port:=abc", "parameter 'port': .*'abc'.*'INTEGER'"),
        ("vlm", "model:=/no/folder", "model /no/folder is no folder: check the path"),
        ("vlm", "image_reliability:=maybe", "parameter 'image_reliability' is 'maybe', not one of"),
        ("robot_bridge", "joint_names:=[]", "parameter 'joint_names' is empty"),
    ],
)
def test_a_node_that_is_given_a_bad_value_says_so_in_one_line_and_ends(
    executable: str, override: str, message: str
) -> None:
    command = [str(graph.prefix() / "lib" / graph.PACKAGE / executable)]
    done = subprocess.run(
        [*command, "--ros-args", "-p", override], capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert re.search(rf"\[FATAL\].* cannot start: {message}", line)


@pytest.mark.parametrize("arguments", [["-p", "port:=["], ["--params-file", "/no/such.yaml"]])
def test_arguments_that_ros_cannot_read_end_a_node_without_a_traceback(
    arguments: list[str],
) -> None:
    command = [str(graph.prefix() / "lib" / graph.PACKAGE / "monitor"), "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1
    assert "cannot start: " in done.stderr
    assert arguments[1] in done.stderr
    assert "Traceback" not in done.stderr

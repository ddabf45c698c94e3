from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_inference_ros.nodes.parameters import ParameterError
from vla_inference_ros.nodes.verbosity import DebugRecords, follow_verbosity

NAME = "verbosity_test"
DEBUG, INFO, WARN = LoggingSeverity.DEBUG, LoggingSeverity.INFO, LoggingSeverity.WARN


@pytest.fixture
def context(request: pytest.FixtureRequest) -> Iterator[Context]:
    """With the log level of the command line that the test is given, if any."""
    context = Context()
    level = getattr(request, "param", "")
    rclpy.init(context=context, args=["--ros-args", "--log-level", level] if level else [])
    yield context
    rclpy.shutdown(context=context)
    set_logger_level("", INFO)  # levels are the process's
    set_logger_level(NAME, LoggingSeverity.UNSET)


def node_with(context: Context, *overrides: Parameter) -> Node:
    return Node(NAME, context=context, parameter_overrides=list(overrides))


def said(node: Node) -> list[LoggingSeverity]:
    """The levels that are said, of these."""
    return [level for level in (DEBUG, INFO, WARN) if node.get_logger().is_enabled_for(level)]


@pytest.mark.parametrize(
    ("verbosity", "levels"),
    [("quiet", [WARN]), ("normal", [INFO, WARN]), ("debug", [DEBUG, INFO, WARN])],
)
def test_the_verbosity_is_the_level_of_the_nodes_logger(
    context: Context, verbosity: str, levels: list[LoggingSeverity]
) -> None:
    node = node_with(context, Parameter("verbosity", value=verbosity))
    follow_verbosity(node)
    assert said(node) == levels


def test_without_one_it_is_normal(context: Context) -> None:
    node = node_with(context)
    follow_verbosity(node)
    assert node.get_parameter("verbosity").value == "normal"
    assert said(node) == [INFO, WARN]


def test_another_word_is_refused(context: Context) -> None:
    node = node_with(context, Parameter("verbosity", value="loud"))
    with pytest.raises(ParameterError, match="'loud', not one of quiet, normal, debug"):
        follow_verbosity(node)


def test_it_may_be_set_while_the_node_runs(context: Context) -> None:
    node = node_with(context)
    follow_verbosity(node)
    for verbosity, levels in (("debug", 3), ("quiet", 1), ("normal", 2)):
        (result,) = node.set_parameters([Parameter("verbosity", value=verbosity)])
        assert result.successful
        assert len(said(node)) == levels
    (result,) = node.set_parameters([Parameter("verbosity", value="loud")])
    assert not result.successful
    assert len(said(node)) == 2


@pytest.mark.parametrize(
    ("context", "levels"),
    [
        ("warn", [WARN]),
        (f"{NAME}:=warn", [WARN]),
        ("debug", [DEBUG, INFO, WARN]),
        (f"{NAME}:=debug", [DEBUG, INFO, WARN]),
    ],
    indirect=["context"],
)
def test_normal_leaves_the_level_of_the_command_line_and_returns_to_it(
    context: Context, levels: list[LoggingSeverity]
) -> None:
    node = node_with(context)
    follow_verbosity(node)
    assert said(node) == levels
    for verbosity, count in (("quiet", 1), ("debug", 3)):
        node.set_parameters([Parameter("verbosity", value=verbosity)])
        assert len(said(node)) == count
    node.set_parameters([Parameter("verbosity", value="normal")])
    assert said(node) == levels


# --- debug records


class Records:
    """What a node's debug records say, and how often they are made."""

    def __init__(self, context: Context, verbosity: str, capfd: pytest.CaptureFixture[str]) -> None:
        self.node = node_with(context, Parameter("verbosity", value=verbosity))
        follow_verbosity(self.node)
        self.made = 0
        self._capfd = capfd

    def make(self) -> str:
        self.made += 1
        return f"record {self.made}"

    def said(self) -> int:
        return self._capfd.readouterr().err.count("record ")


@pytest.mark.parametrize("verbosity", ["quiet", "normal"])
def test_a_record_that_nobody_wants_is_not_made(
    context: Context, verbosity: str, capfd: pytest.CaptureFixture[str]
) -> None:
    records = Records(context, verbosity, capfd)
    DebugRecords(records.node).say(records.make)
    assert (records.made, records.said()) == (0, 0)


def test_records_are_made_and_said_in_debug(
    context: Context, capfd: pytest.CaptureFixture[str]
) -> None:
    records = Records(context, "debug", capfd)
    debug = DebugRecords(records.node)
    for _ in range(3):
        debug.say(records.make)
    assert (records.made, records.said()) == (3, 3)


def test_one_in_a_period_is_made(
    context: Context, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records = Records(context, "debug", capfd)
    debug = DebugRecords(records.node, period=1.0)
    for now in (10.0, 10.5, 10.75, 11.0, 11.5, 20.0):
        monkeypatch.setattr("vla_inference_ros.nodes.verbosity.time.monotonic", lambda now=now: now)
        debug.say(records.make)
    assert (records.made, records.said()) == (3, 3)

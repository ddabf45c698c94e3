"""A node keeps to the time that it started by, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import rclpy
from rclpy.parameter import Parameter

from vla_inference_ros.nodes.threads import ThreadConfig
from vla_inference_ros.nodes.vla_node import VlaNode


@pytest.fixture(params=[False, True])
def node(request: pytest.FixtureRequest) -> Iterator[VlaNode[Any]]:
    rclpy.init()
    overrides = [Parameter("use_sim_time", value=request.param)]
    node: VlaNode[Any] = VlaNode("some", ThreadConfig, parameter_overrides=overrides)
    yield node
    node.close()
    rclpy.shutdown()


def is_simulated(node: VlaNode[Any]) -> bool:
    return bool(node.get_clock().ros_time_is_active)


@pytest.mark.parametrize("at_once", [False, True])
def test_it_cannot_be_changed_while_the_node_runs(node: VlaNode[Any], at_once: bool) -> None:
    value = is_simulated(node)
    other = Parameter("use_sim_time", value=not value)
    if at_once:
        result = node.set_parameters_atomically([Parameter("verbosity", value="quiet"), other])
    else:
        (result,) = node.set_parameters([other])
    assert not result.successful
    assert "parameter 'use_sim_time' is read at the start alone" in result.reason
    assert f"-p use_sim_time:={str(not value).lower()}" in result.reason
    assert node.get_parameter("use_sim_time").value == value
    assert is_simulated(node) == value
    assert node.get_parameter("verbosity").value == "normal"


def test_it_cannot_be_removed_nor_be_anything_else(node: VlaNode[Any]) -> None:
    for value in (None, "true", int(is_simulated(node))):
        (result,) = node.set_parameters([Parameter("use_sim_time", value=value)])
        assert not result.successful


def test_it_may_be_set_to_what_it_is(node: VlaNode[Any]) -> None:
    value = is_simulated(node)
    (result,) = node.set_parameters([Parameter("use_sim_time", value=value)])
    assert result.successful
    assert is_simulated(node) == value


def test_other_parameters_are_taken(node: VlaNode[Any]) -> None:
    (result,) = node.set_parameters([Parameter("verbosity", value="quiet")])
    assert result.successful

"""The console lines go out on /rosout as ROS's own records do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from vla_inference_ros.nodes.console import Console


@pytest.fixture
def node() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node("speaker", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_the_lines_are_offered_like_the_log(node: Node) -> None:
    Console(node)
    log, lines = (info.qos_profile for info in node.get_publishers_info_by_topic("/rosout"))
    assert lines.reliability == log.reliability
    assert lines.durability == log.durability
    assert lines.lifespan == log.lifespan

from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from rclpy.node import Node


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """A node of plain ROS, for parts of nodes that need one."""
    rclpy.init()
    node = Node("bench")
    yield node
    node.destroy_node()
    rclpy.shutdown()

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import rclpy
from harness import Listener
from shared_memory import remove_leftovers


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    remove_leftovers(int(os.environ["ROS_DOMAIN_ID"]))  # modules run one after the other
    rclpy.init()
    listener = Listener()
    yield listener
    listener.close()
    rclpy.shutdown()

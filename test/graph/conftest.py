from __future__ import annotations

from collections.abc import Iterator

import pytest
import rclpy
from harness import Listener


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    rclpy.init()
    listener = Listener()
    yield listener
    listener.close()
    rclpy.shutdown()

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from unittest.mock import patch

import pytest
import rclpy
from harness import Listener, free_port
from live_page import Page, live_page
from live_view import BROWSER

from vla_inference_ros.nodes.middleware import set_up_middleware


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    # With Fast DDS's defaults a node that dies or stands for a second can silence what this process
    # publishes. What it takes is not for the nodes that it starts: they choose for themselves.
    with patch.dict(os.environ):
        set_up_middleware()
        rclpy.init()
        listener = Listener()
    yield listener
    listener.close()
    rclpy.shutdown()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with live_page(BROWSER, tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture
def port() -> int:
    return free_port(socket.SOCK_STREAM)

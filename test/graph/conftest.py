from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import rclpy
from harness import Listener, free_port
from live_page import Page, live_page
from live_view import BROWSER

from vla_inference_ros.nodes.middleware import settings_for_this_process


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    # With Fast DDS's defaults a node that dies or stands for a second can silence what this process
    # publishes.
    with settings_for_this_process():
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

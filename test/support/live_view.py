"""What the live view's node is shown in tests, and how its page is opened."""

from __future__ import annotations

import math
import time
from array import array
from typing import Any

import pytest
from browser import browser
from harness import Listener, NodeProcess
from live_page import Page

from vla_inference_ros.convert import header
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk, InferenceStatus
from vla_inference_ros.nodes import qos

BROWSER = browser()
# A page can only be seen by one; CI installs Chromium.
needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no browser")
NOW = 1.7e9  # [Unix s]
ANY_AGE = 3600.0  # the statuses of most tests are not sent again [s]


def opened(page: Page, node: NodeProcess, port: int) -> None:
    node.wait_until_said("the live view is at")
    page.open("about:blank")
    page.wait("location.href === 'about:blank'")
    page.complaints.clear()  # the page of the node before has lost its connection
    page.open(f"http://127.0.0.1:{port}/")


def status(**fields: Any) -> InferenceStatus:
    given = {
        "state": InferenceStatus.OK,
        "vl_rate": 2.5,
        "action_rate": 10.0,
        "features_age": 0.375,
        "view3_received": 3000,
        "view3_age": 0.0625,
        "robot_received": 7,
        "joint_1": math.radians(45.0),
        "position_x": 0.125,
        "sensor_fill": 60,
        "sensor_window": 65,
        "vl_time_p50": 0.381,
        "vl_time_p95": 0.392,
        "vl_time_p99": 0.5,
        "vl_time_misses": 3,
        "tick_jitter_p99": 0.00025,
        "rejected": 4,
        **fields,
    }
    return InferenceStatus(header=header(NOW), **given)


def chunk(number: int, first: float = 0.5, **fields: Any) -> ActionChunk:
    actions = [first + step + dimension / 8 for step in range(8) for dimension in range(7)]
    return ActionChunk(
        header=header(time.time()),
        chunk_id=number,
        step_dt=0.1,
        horizon=8,
        action_dim=7,
        action_names=list(ACTION_NAMES),
        actions=array("f", actions),
        vl_reuse_index=2,
        vl_reuse_limit=4,
        valid_steps=8,
        **fields,
    )


def say(listener: Listener, **fields: Any) -> None:
    listener.deliver(status(**fields), "/vla/status", qos.STATUS)

"""Simulated time: a node's schedules by it, and that a node keeps to what it started with."""

from __future__ import annotations

import time
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

PARAMETER = "use_sim_time"
_LOOK_PERIOD = 0.005  # how often simulated time is read while a schedule waits [s]


class RosClock:
    """The node's ROS clock as a schedule's clock, for ``use_sim_time``."""

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock()

    def now(self) -> float:
        """ROS time [s]."""
        return float(self._clock.now().nanoseconds) * 1e-9

    def sleep_until(self, deadline: float) -> None:
        """Return soon: rclpy's own wait would not end while simulated time stands still."""
        if self.now() < deadline:
            time.sleep(_LOOK_PERIOD)

    def to_unix(self, instant: float) -> float:
        """ROS time is the stamps' time."""
        return instant


def is_simulated(node: Node) -> bool:
    """Whether a node's time is simulated."""
    return bool(node.get_parameter(PARAMETER).value)


def keep_time(node: Node) -> None:
    """Refuse what would change ``use_sim_time`` from now on.

    ROS has its clock follow at once, but schedules and stamps are by what it was at the start: ages
    would be off by decades. Callbacks that are added later are asked first, and ROS's own last.
    """
    value = is_simulated(node)

    def check(parameters: list[Parameter[Any]]) -> SetParametersResult:
        if all(each.name != PARAMETER or each.value is value for each in parameters):
            return SetParametersResult(successful=True)
        wanted = "false" if value else "true"
        reason = (
            f"parameter {PARAMETER!r} is read at the start alone: start the node anew with "
            f"--ros-args -p {PARAMETER}:={wanted}"
        )
        return SetParametersResult(successful=False, reason=reason)

    node.add_on_set_parameters_callback(check)

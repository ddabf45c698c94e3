"""How much a node says: the parameter ``verbosity`` that every node has, and records for debug.

All that is said goes by the level of the node's logger: console lines where INFO is said, debug
records where DEBUG is. ``quiet`` and ``debug`` set that level; ``normal`` leaves it as it was given
on the command line, so that there ``--ros-args --log-level`` means what it means for any node.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.logging import LoggingSeverity, get_logger_level
from rclpy.node import Node

from vla_inference_ros.core.console import VERBOSITIES
from vla_inference_ros.nodes.parameters import declare, follow, parameter

_ASK_AGAIN = 0.2  # whether debug records are wanted, which costs more than all else of it [s]
_LEVELS = {"quiet": LoggingSeverity.WARN, "debug": LoggingSeverity.DEBUG}


@dataclass(frozen=True, slots=True)
class CommonConfig:
    """Parameters of every node."""

    verbosity: str = parameter(
        "normal",
        "what the node says: quiet is warnings and errors alone, normal what has happened and the "
        "console lines too, debug also what each is made of",
        choices=VERBOSITIES,
        dynamic=True,
    )


def follow_verbosity(node: Node) -> None:
    """Declare the parameter and keep the level of the node's logger to it; raises ParameterError.

    ``quiet`` and ``debug`` go before ``--log-level``.
    """
    logger = node.get_logger()
    given = get_logger_level(logger.name)  # by --log-level NODE:=LEVEL; else none of its own

    def apply(config: CommonConfig) -> None:
        logger.set_level(_LEVELS.get(config.verbosity, given))

    config = declare(node, CommonConfig)
    apply(config)
    follow(node, config, apply)


class DebugRecords:
    """Debug records of one kind, for one thread. While they are not wanted, they are not made."""

    def __init__(self, node: Node, period: float = 0.0) -> None:
        """At most one in ``period`` [s], of the newest; 0 for all."""
        self._logger = node.get_logger()
        self._period = period
        self._due = -math.inf

    def say(self, text: Callable[[], str]) -> None:
        """Log what ``text`` makes, if debug records are wanted and one is due."""
        now = time.monotonic()
        if now < self._due:
            return
        if self._logger.is_enabled_for(LoggingSeverity.DEBUG):
            self._due = now + self._period
            self._logger.debug(text())
        else:
            self._due = now + _ASK_AGAIN

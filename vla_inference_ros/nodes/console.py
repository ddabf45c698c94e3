"""The console lines on their way out: to standard output as they are, and to /rosout as records.

ROS's own logger would put a prefix before them, which the scripts around the rig do not expect.
"""

from __future__ import annotations

import time

from rcl_interfaces.msg import Log
from rclpy.logging import LoggingSeverity
from rclpy.node import Node

from vla_inference_ros.convert import time_message
from vla_inference_ros.nodes import qos

_WHERE = ("console.py", "Console.say")  # what tells these records from all others
_LEVEL = LoggingSeverity.INFO


class Console:
    """Says nothing while the node's logger is kept to warnings, as by ``verbosity`` quiet."""

    def __init__(self, node: Node) -> None:
        self._logger = node.get_logger()
        self._rosout = (
            node.create_publisher(Log, "/rosout", qos.ROSOUT) if _publishes_rosout(node) else None
        )

    @property
    def is_on(self) -> bool:
        """Whether a line would be said: who asks before need not make one in vain."""
        return bool(self._logger.is_enabled_for(_LEVEL))

    def say(self, line: object) -> None:
        """Print a line, or several with line feeds between them, and publish them as one record."""
        if not self.is_on:
            return
        text = str(line)
        print(text, flush=True)
        if self._rosout is not None:
            file, function = _WHERE
            self._rosout.publish(
                Log(
                    stamp=time_message(time.time()),  # ROS's own records go by the same clock
                    level=int(_LEVEL),
                    name=self._logger.name,
                    msg=text,
                    file=file,
                    function=function,
                )
            )


def is_console_line(record: Log) -> bool:
    """Whether a record of /rosout is a console line."""
    return (record.file, record.function) == _WHERE


def _publishes_rosout(node: Node) -> bool:
    """Whether the node's log goes to /rosout: ``--disable-rosout-logs`` is for these lines too."""
    topics = node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())
    return any(topic == "/rosout" for topic, _ in topics)

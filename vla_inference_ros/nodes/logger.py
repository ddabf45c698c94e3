"""A node's logger: the one way out of its log, on which foreign text is made harmless."""

from __future__ import annotations

import os
from typing import Any

from rclpy.impl import rcutils_logger
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import LoggingSeverity

from vla_inference_ros.core.printable import printable_record

# A record names the place that logs, which is not here.
rcutils_logger._internal_callers.append(os.path.realpath(__file__))


class PrintableLogger(RcutilsLogger):
    """Logs as any logger of ROS, but nothing that a terminal would obey or that ROS cannot hold."""

    def log(self, message: str, severity: int | LoggingSeverity, *given: Any, **named: Any) -> bool:
        """Log one record; its further lines begin with two spaces."""
        return bool(super().log(printable_record(str(message)), severity, *given, **named))

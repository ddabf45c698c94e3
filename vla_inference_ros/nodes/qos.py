"""Quality of service of the package's topics, in one place so that both ends agree.

All are reliable: best effort loses more than a tenth of the 150 kB frames even on loopback.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


IMAGES = _reliable(30)  # a second at full rate, for readers that are held up
ROBOT = _reliable(50)  # half a second at 100 Hz
SENSOR = _reliable(100)  # more than a window, however few samples a datagram holds
FEATURES = _reliable(5)
ACTIONS = _reliable(10)
REPORTS = _reliable(50)
STATUS = _reliable(10)
# Kept for nodes that start later.
INSTRUCTION = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


def newest(reliability: str = "reliable") -> QoSProfile:
    """Only the newest message matters; ``reliability`` is reliable or best_effort."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy[reliability.upper()])

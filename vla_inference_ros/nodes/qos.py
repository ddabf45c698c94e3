"""Quality of service of the package's topics, in one place so that both ends agree.

All are reliable: best effort loses more than a tenth of the 150 kB frames even on loopback.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def _latched(depth: int) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


IMAGES = _reliable(30)  # a second at full rate, for readers that are held up
FRAME_INFO = _reliable(150)  # of all views
ROBOT = _reliable(50)  # half a second at 100 Hz
SENSOR = _reliable(100)  # more than a window, however few samples a datagram holds
FEATURES = _reliable(5)
ACTIONS = _reliable(10)
REPORTS = _reliable(50)
DIAGNOSTICS = _reliable(10)
# For recorders: what comes in while they are held up for seconds.
RECORDED_IMAGES, RECORDED = _reliable(100), _reliable(500)
# The last message is kept for nodes that start later.
INSTRUCTION = STATUS = _latched(1)
RECORDED_LATCHED = _latched(100)


def newest() -> QoSProfile:
    """Only the newest message matters."""
    return _reliable(1)


def newest_image(reliability: str) -> QoSProfile:
    """Likewise for images; ``reliability`` is reliable or best_effort.

    A message that comes in pieces takes a place from its first piece on, and puts the oldest out:
    with one place there would be none to read while the next is on its way.
    """
    return QoSProfile(depth=2, reliability=ReliabilityPolicy[reliability.upper()])

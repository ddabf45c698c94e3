"""Quality of service of the package's topics, in one place so that both ends agree.

All are reliable: best effort loses more than a tenth of the 150 kB frames even on loopback.
"""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from vla_inference_ros.recording import topics


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
SENSOR = _reliable(100)  # more than a window, however few samples a datagram holds
# Seconds of what is small, for recorders that are held up.
ROBOT = _reliable(500)
ACTIONS = SIGNALS = _reliable(100)
FEATURES = _reliable(20)
REPORTS = _reliable(50)
DIAGNOSTICS = _reliable(10)
# The last message is kept for nodes that start later.
INSTRUCTION = STATUS = RUN_STATE = _latched(1)
# As ROS itself publishes a node's log; not every release of rclpy has a name for it.
ROSOUT = QoSProfile(
    depth=1000,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
    lifespan=Duration(seconds=10),
)


def recorded(topic: str) -> QoSProfile:
    """Of a topic of a bag, as recorders hear it and players publish it: with room for what comes
    while one is held up for seconds.
    """
    if topic in topics.LATCHED:
        return _latched(100)
    return _reliable(100 if topic in topics.IMAGES.values() else 500)


def recorded_live(topic: str) -> QoSProfile:
    """Likewise, without what was published before: who does not keep the last message for others is
    heard as well, whom ``recorded`` does not match.
    """
    profile = recorded(topic)
    profile.durability = DurabilityPolicy.VOLATILE
    return profile


def newest() -> QoSProfile:
    """Only the newest message matters."""
    return _reliable(1)


def latched_of_several() -> QoSProfile:
    """To hear the last message of each of several publishers."""
    return _latched(20)


def unlatched() -> QoSProfile:
    """To hear those who do not keep their last message for others."""
    return _reliable(20)


def recent() -> QoSProfile:
    """The newest message matters, and who else has published since the last look, 0.1 s before."""
    return _reliable(20)


def newest_image(reliability: str) -> QoSProfile:
    """Likewise for images; ``reliability`` is reliable or best_effort.

    A message that comes in pieces takes a place from its first piece on, and puts the oldest out:
    with one place there would be none to read while the next is on its way. The others are to show
    who else publishes, if anybody does.
    """
    return QoSProfile(depth=4, reliability=ReliabilityPolicy[reliability.upper()])


def every_image(reliability: str) -> QoSProfile:
    """As :func:`newest_image`, with room for all that come at 30/s between two looks, and the next
    one being late.
    """
    return QoSProfile(depth=12, reliability=ReliabilityPolicy[reliability.upper()])

"""Which topics the bag of a run holds, and their types. Imports nothing, so that launch files can
ask.
"""

from __future__ import annotations

_PACKAGE = "vla_inference_ros/msg"

IMAGES = {f"View{n}": f"/camera/view{n}/image_raw/compressed" for n in range(1, 6)}  # by view
FRAME_INFO = "/camera/frame_info"
ROBOT_STATE = "/robot/state"
SAMPLES = "/sensor/samples"
FEATURES = "/vla/features"
ACTIONS = "/vla/actions"
SIGNALS = "/vla/signals"

TOPICS = {
    **dict.fromkeys(IMAGES.values(), "sensor_msgs/msg/CompressedImage"),
    FRAME_INFO: f"{_PACKAGE}/FrameInfo",
    "/joint_states": "sensor_msgs/msg/JointState",
    "/robot/pose": "geometry_msgs/msg/PoseStamped",
    ROBOT_STATE: f"{_PACKAGE}/RobotState",
    SAMPLES: f"{_PACKAGE}/SensorBatch",
    "/vla/instruction": "std_msgs/msg/String",
    FEATURES: f"{_PACKAGE}/VLFeatures",
    ACTIONS: f"{_PACKAGE}/ActionChunk",
    SIGNALS: f"{_PACKAGE}/Signals",
    "/vla/status": f"{_PACKAGE}/InferenceStatus",
    "/vla/reports": f"{_PACKAGE}/StreamReport",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}
# Whose last message is kept for nodes that start later; all others are reliable and volatile.
LATCHED = frozenset({"/vla/instruction", "/vla/status"})
# What is inferred, and what is told of that; all others are what it is inferred from.
OUTPUTS = frozenset({FEATURES, ACTIONS, SIGNALS, "/vla/status", "/vla/reports", "/diagnostics"})
INPUTS = tuple(topic for topic in TOPICS if topic not in OUTPUTS)

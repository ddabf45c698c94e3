"""Why there were no chunks, as the monitor said it; only bags hold that."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.serialization import deserialize_message

from vla_inference_ros.convert import seconds
from vla_inference_ros.msg import InferenceStatus
from vla_inference_ros.recording.bag import Bag
from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import Recording
from vla_inference_ros.recording.topics import TOPICS

_STATUS = "/vla/status"


@dataclass(frozen=True, slots=True)
class Hold:
    """At ``stamp`` [Unix s] there was no chunk yet, or they were held back or had stopped, because
    of ``reason``.
    """

    stamp: float
    reason: str


def holds(recording: Recording) -> list[Hold]:
    """All that were said, in order; none of a recording that is no bag."""
    if not isinstance(recording, Bag) or recording.topics().get(_STATUS) != TOPICS[_STATUS]:
        return []
    found = []
    leaving = recording.odd.reading(_STATUS)
    for raw in recording.raw([_STATUS]):
        try:
            status = deserialize_message(raw.data, InferenceStatus)
        except Exception as error:  # whatever the middleware raises
            what = (
                f"{recording.path}: the message on {_STATUS} at {raw.stamp_ns / 1e9:.6f} does not "
                f"deserialize: {error}"
            )
            leaving.out(OddError("does not deserialize", what))
            continue
        if status.state in (InferenceStatus.WAIT, InferenceStatus.HOLD):
            found.append(Hold(seconds(status.header.stamp), status.reason))
    return found


def reason_between(said: list[Hold], start: float, end: float) -> str:
    """The first reason that was said in a span of time [Unix s]; empty if there is none."""
    return next((hold.reason for hold in said if start < hold.stamp <= end), "")

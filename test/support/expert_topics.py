"""What the VLM and the bridges would publish to the action expert."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

import numpy as np
from harness import Listener, Parameter

from vla_inference_ros.convert import header, seconds, time_message
from vla_inference_ros.core.wire import ASCAN_LENGTH, SENSOR_RATE
from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.msg import RobotState, SensorBatch, VLFeatures

FEATURES_SHAPE = (1, 1, 2048)
VL_TIME = 0.25  # of every update [s]
# For tests of something else than ages: whatever is an hour old is young enough.
ANY_AGE: dict[str, Parameter] = {
    f"{name}_age_{kind}": 3600.0
    for name in ("features", "sensor", "robot")
    for kind in ("soft", "hard")
}


def batch(
    slots: np.ndarray, start: float, length: int = ASCAN_LENGTH, *, learnt: bool = True
) -> SensorBatch:
    """Samples in these nominal slots after ``start`` [Unix s]; no two batches are equal."""
    stamps = [time_message(start + slot / SENSOR_RATE) for slot in slots.tolist()]
    force = np.random.default_rng().normal(size=len(slots)).astype(np.float32)
    return SensorBatch(
        header=header(seconds(stamps[-1])),
        stamps=stamps,
        force=array("f", force.tobytes()),
        ascan_length=length,
        ascan=array("f", np.repeat(force, length).tobytes()),
        clock_uncertainty=0.0 if learnt else -1.0,
    )


@dataclass
class Inputs:
    """What the VLM and the bridges publish."""

    listener: Listener

    def features(
        self,
        update_id: int,
        shape: tuple[int, ...] = FEATURES_SHAPE,
        *,
        values: int | None = None,
        value: float = 0.5,
        stamp: float,
        model_id: str = "",
    ) -> None:
        count = int(np.prod(shape)) if values is None else values
        message = VLFeatures(
            header=header(stamp),
            update_id=update_id,
            model_id=model_id,
            views=list(VIEWS),
            view_stamps=[time_message(stamp)] * len(VIEWS),
            started=time_message(stamp),
            finished=time_message(stamp + VL_TIME),
            shape=shape,
            data=array("f", [value] * count),
        )
        self.listener.deliver(message, "/vla/features")

    def samples(self, slots: np.ndarray, start: float, *, learnt: bool = True) -> None:
        self.listener.deliver(batch(slots, start, learnt=learnt), "/sensor/samples")

    def robot(self, stamp: float, force: float, *, learnt: bool = True) -> None:
        state = RobotState(
            header=header(stamp), force=force, clock_uncertainty=0.0 if learnt else -1.0
        )
        self.listener.deliver(state, "/robot/state")

"""What the action expert works from: the newest features, sensor window and robot state.

Owns the inboxes and the checks of what comes in. For the worker's thread alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node

from vla_inference_ros.convert import seconds, sensor_arrays
from vla_inference_ros.core.liveness import SensorLife
from vla_inference_ros.core.reuse import ReuseCounter
from vla_inference_ros.core.troubles import REPEATED_SCANS
from vla_inference_ros.core.validity import Inputs
from vla_inference_ros.core.window import SensorWindow, WindowSnapshot
from vla_inference_ros.core.wire import SENSOR_CHANNELS, SENSOR_RATE
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import RobotState, SensorBatch, StreamReport, VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.stream import Stream


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Features that can be used: ``values`` (1, S, V) float32 of ``message``; ``stamp`` [Unix s] is
    its oldest image's.
    """

    message: VLFeatures
    stamp: float
    values: NDArray[np.float32]

    @property
    def key(self) -> tuple[int, float]:
        """Tells the update from every other, also after a restart of the VLM."""
        return self.message.update_id, seconds(self.message.started)


class ExpertInputs:
    """Reads the topics when a tick asks for it."""

    def __init__(self, node: Node, stage: Stream, sensor: Stream, fill: str) -> None:
        """What comes in is counted with ``stage``, and samples with ``sensor``."""
        self.features: Features | None = None
        self.robot_state = RobotState()
        self.window = SensorWindow(SENSOR_WINDOW, SENSOR_CHANNELS, SENSOR_RATE, fill)
        self._stage, self._sensor = stage, sensor
        self._sensor_life = SensorLife()
        self._sensor_clock_known = False
        self._robot_clock_known = True
        self._vlm_hold = ""
        self._views_ready: dict[str, bool] = {}  # as the VLM reports its views
        self._reuse = ReuseCounter()
        self._features_inbox = Inbox(node, VLFeatures, "/vla/features", qos.FEATURES)
        self._sensor_inbox = Inbox(node, SensorBatch, "/sensor/samples", qos.SENSOR)
        self._robot_inbox = Inbox(node, RobotState, "/robot/state", qos.newest())
        self._reports_inbox = Inbox(node, StreamReport, "/vla/reports", qos.REPORTS)

    @property
    def views_ready(self) -> tuple[int, int]:
        """(views that the VLM has an image of, views that it takes)."""
        return sum(self._views_ready.values()), len(self._views_ready) or len(VIEWS)

    def read(self, feature_size: int) -> None:
        """Take what has come since the last call; what does not fit is counted and left out."""
        self._take("sensor batch", self._sensor_inbox, self._add_samples)
        keep_features = partial(self._keep_features, feature_size=feature_size)
        self._take("features", self._features_inbox, keep_features)
        self._keep_robot_state(self._robot_inbox.newest())
        for report in self._reports_inbox.take():
            self._note(report)

    def forget(self) -> None:
        """Start over, as after a pause."""
        self.features = None
        self.robot_state = RobotState()
        self.window.clear()
        self._sensor_life = SensorLife()
        self._sensor.troubles.keep(REPEATED_SCANS, False)
        self._sensor_clock_known = False
        self._robot_clock_known = True
        self._vlm_hold = ""
        self._reuse = ReuseCounter()

    def judged_at(self, now: float, window: WindowSnapshot, reuse_limit: int) -> Inputs:
        """The inputs of a chunk for the instant ``now`` [Unix s], for judgement."""
        features, robot_stamp = self.features, seconds(self.robot_state.header.stamp)
        return Inputs(
            features_age=None if features is None else now - features.stamp,
            reuse_index=0 if features is None else self._reuse.uses(features.key) + 1,
            reuse_limit=reuse_limit,
            sensor_age=now - window.last_time if window.samples else None,
            sensor_clock_known=self._sensor_clock_known,
            sensor_dead=f"sensor: {REPEATED_SCANS}" if self._sensor_life.is_dead else "",
            samples=window.samples,
            window=SENSOR_WINDOW,
            robot_age=now - robot_stamp if robot_stamp else None,
            robot_clock_known=self._robot_clock_known,
            sensor_span=window.span,
            sensor_nominal_span=window.nominal_span,
            sensor_crowded=window.crowded,
            upstream=[] if features is None else features.message.reasons,
            upstream_hold=self._vlm_hold,
        )

    def count_use(self) -> None:
        """A chunk from the present features has been published."""
        if self.features is not None:
            self._reuse.count(self.features.key)

    def _take(self, kind: str, inbox: Inbox[Any], keep: Callable[[Any], None]) -> None:
        for message in inbox.take():
            try:
                keep(message)
            except ValueError as error:
                self._stage.problem(kind, str(error))
            except Exception as error:  # of this message; the next ones are read
                self._stage.refuse(error)

    def _add_samples(self, message: SensorBatch) -> None:
        times, force, ascan = sensor_arrays(message)
        if not (np.isfinite(force).all() and np.isfinite(ascan).all()):
            raise ValueError("sensor batch has NaN or infinite values")
        self.window.append(times, force, ascan, message.clock_offset)
        self._sensor.accept(float(times.max()), len(times))
        self._sensor_life.add(times, ascan)
        dead = self._sensor_life.is_dead
        self._sensor.troubles.keep(REPEATED_SCANS, dead)
        if dead:
            self._sensor.warn(
                REPEATED_SCANS,
                f"{REPEATED_SCANS}: is the sensor dead, or its light off? Parameter 'dead_sensor' "
                "says what follows",
            )
        self._sensor_clock_known = message.clock_uncertainty >= 0

    def _keep_robot_state(self, message: RobotState | None) -> None:
        """Of the state before, the age is known at least."""
        if message is None:
            return
        self._robot_clock_known = message.clock_uncertainty >= 0
        if self._robot_clock_known:
            self.robot_state = message

    def _keep_features(self, message: VLFeatures, feature_size: int) -> None:
        values = np.frombuffer(message.data, np.float32)
        shape = tuple(message.shape)
        fits = len(shape) == 3 and shape[0] == 1 and shape[2] == feature_size
        if not fits or values.size != math.prod(shape) or values.size == 0:
            raise ValueError(
                f"features of shape {shape} with {values.size} numbers, not (1, tokens, "
                f"{feature_size}): do vlm and action_expert run the same model?"
            )
        if not np.isfinite(values).all():
            raise ValueError("features have NaN or infinite values")
        if len(message.views) != len(message.view_stamps):
            raise ValueError(
                f"features name {len(message.views)} views, but {len(message.view_stamps)} stamps"
            )
        self.features = Features(message, seconds(message.header.stamp), values.reshape(shape))

    def _note(self, report: StreamReport) -> None:
        if report.node != "vlm":
            return
        if report.stream in VIEWS:
            self._views_ready[report.stream] = report.ready
        elif report.stream == "vlm":
            self._vlm_hold = report.hold
            if report.hold:  # what comes after it is of other pictures than what came before
                self.features = None

"""What the action expert works from: the newest features, sensor window and robot state.

Owns the inboxes and the checks of what comes in, and from whom. For the worker's thread alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.convert import seconds, sensor_arrays
from vla_inference_ros.core.liveness import SensorLife
from vla_inference_ros.core.origin import Origin
from vla_inference_ros.core.reuse import ReuseCounter
from vla_inference_ros.core.source import QUIET_NODE, Namesakes, Source
from vla_inference_ros.core.troubles import REPEATED_SCANS
from vla_inference_ros.core.validity import Inputs
from vla_inference_ros.core.window import SensorWindow, WindowSnapshot
from vla_inference_ros.core.wire import SENSOR_CHANNELS, SENSOR_RATE
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS
from vla_inference_ros.msg import RobotState, SensorBatch, StreamReport, VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.rivals import Rivals
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.sourced_inbox import SourcedInbox
from vla_inference_ros.nodes.stream import Stream
from vla_inference_ros.nodes.vla_node import VlaNode

# Of which there must be one: of the VLM, its features tell as well.
_SINGLE = ("camera_bridge", "robot_bridge", "sensor_bridge", "action_expert")


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
    """Reads the topics when a tick asks for it; of each what one publisher says, the first."""

    def __init__(
        self,
        node: VlaNode[Any],
        stage: Stream,
        samples: Stream,
        fill: str,
        run_state: RunStateKeeper,
        *,
        hold_changed: bool,
        allow_several: bool,
        rivals: Rivals,
    ) -> None:
        """What comes in is counted with ``stage``, and samples with ``samples``.
        ``hold_changed`` says whether features that are of something else than the first are to
        be held for, ``allow_several`` whether a topic may have several publishers, and
        ``rivals`` who else publishes what the expert does.
        """
        self.features: Features | None = None
        self.robot_state = RobotState()
        self.window = SensorWindow(SENSOR_WINDOW, SENSOR_CHANNELS, SENSOR_RATE, fill)
        self._node, self._stage, self._samples = node, stage, samples
        self._sensor_life = SensorLife()
        self._sensor_clock_known = False
        self._robot_clock_known = True
        self._vlm_hold = ""
        self._views_ready: dict[str, bool] = {}  # as the VLM reports its views
        self._reuse = ReuseCounter()
        self._run_state, self._hold_changed = run_state, hold_changed
        self._rivals = rivals
        self._origin = Origin()
        self._vlm = Source[int](QUIET_NODE, allow_several=allow_several)
        self._sensor = Source[int](allow_several=allow_several)
        self._robot = Source[int](allow_several=allow_several)
        self._nodes = Namesakes(allow_several=allow_several)
        sourced = partial(SourcedInbox[Any], node, stage=stage, allow_several=allow_several)
        self._features_inbox = sourced(VLFeatures, "/vla/features", qos.FEATURES, source=self._vlm)
        self._sensor_inbox = sourced(
            SensorBatch, "/sensor/samples", qos.SENSOR, source=self._sensor
        )
        self._robot_inbox = sourced(RobotState, "/robot/state", qos.recent(), source=self._robot)
        self._reports_inbox = Inbox(node, StreamReport, "/vla/reports", qos.REPORTS)
        self._inboxes = (self._features_inbox, self._sensor_inbox, self._robot_inbox)

    @property
    def views_ready(self) -> tuple[int, int]:
        """(views that the VLM has an image of, views that it takes)."""
        return sum(self._views_ready.values()), len(self._views_ready) or len(VIEWS)

    def read(self, feature_size: int) -> None:
        """Take what has come since the last call; what does not fit is counted and left out."""
        known = self._sensor.bound
        batches = self._sensor_inbox.take()
        if self._sensor.bound != known:
            self.window.clear()  # of one sensor alone
        self._keep("sensor batch", batches, self._add_samples)
        keep_features = partial(self._keep_features, feature_size=feature_size)
        self._keep("features", self._features_inbox.take(), keep_features)
        for state in self._robot_inbox.take()[-1:]:
            self._keep_robot_state(state)
        self._nodes.of("action_expert").admit(self._node.source_id)
        for report in self._reports_inbox.take():
            self._note(report)

    def forget(self) -> None:
        """Start over, as after a pause."""
        self.features = None
        self.robot_state = RobotState()
        self.window.clear()
        self._sensor_life = SensorLife()
        self._samples.troubles.keep(REPEATED_SCANS, False)
        self._sensor_clock_known = False
        self._robot_clock_known = True
        self._vlm_hold = ""
        self._reuse = ReuseCounter()
        self._origin = Origin()
        for inbox in self._inboxes:
            inbox.forget()

    def judged_at(self, now: float, window: WindowSnapshot, reuse_limit: int) -> Inputs:
        """The inputs of a chunk for the instant ``now`` [Unix s], for judgement."""
        features, robot_stamp = self.features, seconds(self.robot_state.header.stamp)
        conflicts = self._conflicts()
        reservations: list[str] = []
        if features is not None:
            self._origin.follow(features.message.instruction, self._run_state.asked)
            if self._origin.change:
                (conflicts if self._hold_changed else reservations).append(self._origin.change)
            reservations.extend(features.message.reasons)
            if self._origin.surprise:
                reservations.append(self._origin.surprise)
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
            upstream=reservations,
            upstream_hold=self._vlm_hold,
            conflicts=conflicts,
        )

    def count_use(self) -> None:
        """A chunk from the present features has been published."""
        if self.features is not None:
            self._reuse.count(self.features.key)

    def _conflicts(self) -> list[str]:
        """Which inputs have more than one source."""
        found = [self._nodes.conflict(), self._rivals.conflict]
        found += [inbox.conflict() for inbox in self._inboxes]
        return [conflict for conflict in found if conflict]

    def _keep(self, kind: str, messages: list[Any], keep: Callable[[Any], None]) -> None:
        for message in messages:
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
        self._samples.accept(float(times.max()), len(times))
        self._sensor_life.add(times, ascan)
        dead = self._sensor_life.is_dead
        self._samples.troubles.keep(REPEATED_SCANS, dead)
        if dead:
            self._samples.warn(
                REPEATED_SCANS,
                f"{REPEATED_SCANS}: is the sensor dead, or its light off? Parameter 'dead_sensor' "
                "says what follows",
            )
        self._sensor_clock_known = message.clock_uncertainty >= 0

    def _keep_robot_state(self, message: RobotState) -> None:
        """Of the state before, the age is known at least."""
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
        self._origin.see(message.model_id, message.views)
        self.features = Features(message, seconds(message.header.stamp), values.reshape(shape))

    def _note(self, report: StreamReport) -> None:
        if report.inactive:  # one that stands by speaks for nobody
            return
        if report.node in _SINGLE:
            self._nodes.of(report.node).admit(report.source_id)
        if report.node != "vlm" or not self._vlm.admit(report.source_id):
            return
        self._features_inbox.stay()
        if report.stream in VIEWS:
            self._views_ready[report.stream] = report.ready
        elif report.stream == "vlm":
            self._vlm_hold = report.hold
            if report.hold:  # what comes after it is of other pictures than what came before
                self.features = None

"""Action expert node: features and the sensor window in, action chunks out, at a fixed rate."""

from __future__ import annotations

import math
import os
import threading
import time
from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.convert import header, seconds, sensor_arrays, time_message
from vla_inference_ros.core.console import WaitLine
from vla_inference_ros.core.reuse import ReuseCounter
from vla_inference_ros.core.schedule import Schedule, Tick
from vla_inference_ros.core.validity import reservations
from vla_inference_ros.core.window import SensorWindow, WindowSnapshot
from vla_inference_ros.core.wire import SENSOR_CHANNELS, SENSOR_RATE
from vla_inference_ros.model.interface import (
    ACTION_NAMES,
    MIN_SAMPLES,
    SENSOR_WINDOW,
    VIEWS,
    ActionSteps,
    ModelError,
)
from vla_inference_ros.model.load import load_action_model
from vla_inference_ros.msg import ActionChunk, RobotState, SensorBatch, StreamReport, VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run

_WAIT_PERIOD = 2.0  # between two [WAIT] lines [s]


@dataclass(frozen=True, slots=True)
class ActionExpertConfig:
    """Parameters of the action expert node."""

    model: str = parameter(
        "Qwen/Qwen2.5-VL-3B-Instruct", "the VLM's model: a hub id or folder, or tiny, or stub"
    )
    checkpoint: str = parameter("", "file of the trained sensor encoder and action expert")
    fusion_strategy: str = parameter(
        "concat",
        "how the checkpoint joins vision-language and sensor features",
        choices=("concat", "cross_attention", "gated", "none"),
    )
    device: str = parameter("auto", "torch device: auto, cpu, cuda or cuda:N")
    dtype: str = parameter(
        "auto",
        "precision of the weights; auto is float32",
        choices=("auto", "float32", "bfloat16", "float16", "float8"),
    )
    action_rate: float = parameter(10.0, "chunks per second [Hz]", minimum=0.1, maximum=1000.0)
    vl_reuse: int = parameter(4, "action chunks for one VLM update", minimum=1, maximum=1000)
    min_samples: int = parameter(
        MIN_SAMPLES,
        "sensor samples without which no chunk is computed",
        minimum=1,
        maximum=SENSOR_WINDOW,
    )
    realtime_priority: int = parameter(
        10,
        "real-time priority (SCHED_FIFO) of the ticking thread; 0 for an ordinary thread",
        minimum=0,
        maximum=99,
    )
    torch_threads: int = parameter(1, "CPU threads that torch may use", minimum=1, maximum=1024)
    stub_expert_ms: float = parameter(
        24.0, "duration of a step of model stub [ms]", minimum=0.0, maximum=60_000.0
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """The newest features; ``values`` (1, S, V) float32, ``stamp`` [Unix s] of the oldest image."""

    update_id: int
    stamp: float
    values: NDArray[np.float32]


class ActionExpert(VlaNode[ActionExpertConfig]):
    """Publishes ``/vla/actions`` on an absolute schedule.

    The worker's thread reads what has come at each tick, runs the model and publishes; nothing else
    touches the inputs, so that a tick waits for nobody.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("action_expert", ActionExpertConfig, **node_arguments)
        config = self.config
        try:
            loaded = load_action_model(
                config.model,
                config.checkpoint,
                config.device,
                config.dtype,
                config.fusion_strategy,
                torch_threads=config.torch_threads,
                stub_seconds=config.stub_expert_ms / 1000.0,
            )
        except ModelError as error:
            raise StartError(str(error)) from error
        self._model = loaded.model
        self._stage = self.add_stream("action_expert")
        self._stage.capacity = SENSOR_WINDOW
        self._window = SensorWindow(SENSOR_WINDOW, SENSOR_CHANNELS, SENSOR_RATE)
        self._reuse = ReuseCounter()
        self._features: _Features | None = None
        self._robot_state = RobotState()
        self._views_ready: dict[str, bool] = {}  # as the VLM reports its views
        self._chunk_id = 0
        self._last_wait_line = -math.inf
        self._chunks = self.create_publisher(ActionChunk, "/vla/actions", qos.ACTIONS)
        self._features_inbox = Inbox(self, VLFeatures, "/vla/features", qos.newest())
        self._sensor_inbox = Inbox(self, SensorBatch, "/sensor/samples", qos.SENSOR)
        self._robot_inbox = Inbox(self, RobotState, "/robot/state", qos.newest())
        self._reports_inbox = Inbox(self, StreamReport, "/vla/reports", qos.REPORTS)
        self.add_worker("action expert model", self._work)
        banner = (
            self._model.model_id,
            *loaded.summary,
            f"{config.action_rate:g} chunks per second, {config.vl_reuse} for one VLM update",
        )
        self.get_logger().info("\n  ".join(banner))

    def _work(self, stopping: threading.Event) -> None:
        self._raise_priority()
        schedule = Schedule(1.0 / self.config.action_rate, self.tick_clock())
        while (tick := schedule.wait(stopping)) is not None:
            if tick.missed:
                self._stage.problem(
                    "missed tick",
                    f"no chunk for {tick.missed} tick(s): a step took longer than "
                    f"{schedule.period:.3f} s or the machine was busy",
                    tick.missed,
                )
            self._act(tick)

    def _raise_priority(self) -> None:
        """Without it the kernel may let a busy machine's other threads finish their turn first."""
        priority = self.config.realtime_priority
        if not priority:
            return
        try:
            # Threads that the model starts are ordinary ones again.
            os.sched_setscheduler(
                0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority)
            )
        except OSError as error:
            self.get_logger().warning(
                f"parameter 'realtime_priority' is {priority}, which the system refuses: {error}. "
                "Ticks come some milliseconds late while the machine is busy. Allow it with a line "
                "'<user> - rtprio 99' in /etc/security/limits.conf, or set it to 0"
            )

    def _read_inputs(self) -> None:
        for batch in self._sensor_inbox.take():
            self._add_samples(batch)
        self._stage.fill = self._window.samples
        features = self._features_inbox.newest()
        if features is not None:
            self._keep_features(features)
        self._robot_state = self._robot_inbox.newest() or self._robot_state

    def _keep_features(self, message: VLFeatures) -> None:
        values = np.frombuffer(message.data, np.float32)
        shape = tuple(message.shape)
        fits = len(shape) == 3 and shape[0] == 1 and shape[2] == self._model.feature_size
        if not fits or values.size != math.prod(shape) or values.size == 0:
            self._stage.problem(
                "features shape",
                f"features of shape {shape} with {values.size} numbers, not (1, tokens, "
                f"{self._model.feature_size}): do vlm and action_expert run the same model?",
            )
        elif not np.isfinite(values).all():
            self._stage.problem("not finite", "features have NaN or infinite values")
        else:
            self._features = _Features(
                message.update_id, seconds(message.header.stamp), values.reshape(shape)
            )

    def _add_samples(self, message: SensorBatch) -> None:
        try:
            self._window.append(*sensor_arrays(message))
        except ValueError as error:
            self._stage.problem("sensor batch", str(error))

    def _act(self, tick: Tick) -> None:
        started = time.monotonic()
        self._read_inputs()
        features, window = self._features, self._window.snapshot()
        self._stage.ready = features is not None and window.samples >= self.config.min_samples
        if features is None or not self._stage.ready:
            self._say_wait(window)
            return
        steps = self._model.act(features.values, window.values)
        if not np.isfinite(steps.actions).all():
            self._stage.problem("not finite", "the model gave NaN or infinite actions: none sent")
            return
        chunk = self._chunk(tick, steps, features, window)
        chunk.robot_state = self._robot_state
        chunk.inference_time = time.monotonic() - started
        self._chunks.publish(chunk)
        self._stage.accept(tick.stamp)

    def _chunk(
        self, tick: Tick, steps: ActionSteps, features: _Features, window: WindowSnapshot
    ) -> ActionChunk:
        self._chunk_id += 1
        horizon, action_dim = steps.actions.shape
        reuse_index = self._reuse.next_index(features.update_id)
        reasons = reservations(
            reuse_index=reuse_index,
            reuse_limit=self.config.vl_reuse,
            samples=window.samples,
            missing=window.missing,
            window=SENSOR_WINDOW,
        )
        return ActionChunk(
            header=header(tick.stamp),
            chunk_id=self._chunk_id,
            step_dt=1.0 / self.config.action_rate,
            horizon=horizon,
            action_dim=action_dim,
            action_names=list(ACTION_NAMES),
            actions=array("f", steps.actions.tobytes()),
            delta=array("f", steps.delta.tobytes()),
            vl_update_id=features.update_id,
            vl_reuse_index=reuse_index,
            vl_reuse_limit=self.config.vl_reuse,
            features_stamp=time_message(features.stamp),
            sensor_first_stamp=time_message(window.first_time),
            sensor_last_stamp=time_message(window.last_time),
            sensor_samples=window.samples,
            sensor_missing=window.missing,
            sensor_window=SENSOR_WINDOW,
            model_id=self._model.model_id,
            validity=ActionChunk.DEGRADED if reasons else ActionChunk.OK,
            valid_steps=horizon,
            reasons=reasons,
        )

    def _say_wait(self, window: WindowSnapshot) -> None:
        now = time.monotonic()
        if now - self._last_wait_line < _WAIT_PERIOD:
            return
        self._last_wait_line = now
        for report in self._reports_inbox.take():
            if report.node == "vlm" and report.stream in VIEWS:
                self._views_ready[report.stream] = report.ready
        line = WaitLine(
            features=self._features is not None,
            views_ready=sum(self._views_ready.values()),
            views=len(self._views_ready) or len(VIEWS),
            samples=window.samples,
            window=SENSOR_WINDOW,
            min_samples=self.config.min_samples,
        )
        print(line, flush=True)


def main() -> int:
    """Run the node."""
    return run(ActionExpert)

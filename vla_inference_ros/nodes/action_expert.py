"""Action expert node: features and the sensor window in, certified action chunks out, at a fixed
rate.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_inference_ros.core.console import WaitLine
from vla_inference_ros.core.schedule import Schedule, Tick
from vla_inference_ros.core.validity import CONSEQUENCES, Budgets, Inputs, Verdict, judge
from vla_inference_ros.core.window import FILLS, WindowSnapshot
from vla_inference_ros.model.interface import (
    HORIZON,
    MIN_SAMPLES,
    SENSOR_WINDOW,
    ActionModel,
)
from vla_inference_ros.model.load import load_action_model
from vla_inference_ros.msg import ActionChunk, Signals
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.age_limits import age_budget, age_limit
from vla_inference_ros.nodes.chunk import Draft, draft_chunk, put_steps
from vla_inference_ros.nodes.console import Console
from vla_inference_ros.nodes.debug_lines import chunk_line
from vla_inference_ros.nodes.expert_inputs import ExpertInputs
from vla_inference_ros.nodes.managed_node import ManagedNode
from vla_inference_ros.nodes.parameters import parameter
from vla_inference_ros.nodes.rivals import Rivals
from vla_inference_ros.nodes.run_state import RunStateKeeper
from vla_inference_ros.nodes.signals import signals_of
from vla_inference_ros.nodes.sourced_inbox import several_parameter
from vla_inference_ros.nodes.threads import ThreadConfig, priority_parameter
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.vla_node import REPORT_PERIOD, run

_WAIT_PERIOD = 2.0  # between two [WAIT] lines [s]
_AHEAD = 0.008  # of a tick; reading the inputs and judging them takes 2 to 7 ms [s]
_AWAKE = 0.002  # before a tick, for 0.02 of a core [s]
_LATE_TICK = 0.005  # a tick that is noticed later is a missed deadline [s]
_LONG_PUBLISHING = 0.005  # [s]
_LONG_STEPS = 5.0  # periods that a step may take before it is the reason for a hold
_NO_NUMBERS = str.maketrans("", "", "0123456789.-")
_DEFAULTS = Budgets()


@dataclass(frozen=True, slots=True)
class ActionExpertConfig(ThreadConfig):
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
    sensor_fill: str = parameter(
        "zero",
        "how rows of the sensor window are filled whose samples are missing between others; zero "
        "is what the checkpoints were trained with",
        choices=FILLS,
    )
    features_age_soft: float = age_limit(
        _DEFAULTS.features.soft, "age of the features' oldest image over which a chunk is DEGRADED"
    )
    features_age_hard: float = age_limit(_DEFAULTS.features.hard, "likewise, for no chunk at all")
    sensor_age_soft: float = age_limit(
        _DEFAULTS.sensor.soft, "age of the newest sensor sample over which a chunk is DEGRADED"
    )
    sensor_age_hard: float = age_limit(_DEFAULTS.sensor.hard, "likewise, for no chunk at all")
    robot_age_soft: float = age_limit(
        _DEFAULTS.robot.soft, "age of the robot state over which a chunk is DEGRADED"
    )
    robot_age_hard: float = age_limit(
        _DEFAULTS.robot.hard, "likewise, for no chunk at all if robot_required"
    )
    robot_required: bool = parameter(
        False, "no chunk without a robot state in time; false: such a chunk is only DEGRADED"
    )
    dead_sensor: str = parameter(
        "hold",
        "what follows when the sensor's A-scans repeat, though its stamps go on: hold (no chunk), "
        "degrade, or warn, for made-up samples",
        choices=CONSEQUENCES,
    )
    changed_features: str = parameter(
        "hold",
        "what to do when features are of another model, other weights, views or order of views "
        "than the first since the node was activated: hold until it is activated again, or "
        "degrade, which says so in each chunk",
        choices=("hold", "degrade"),
    )
    allow_several_publishers: bool = several_parameter()
    autostart: bool = parameter(
        True, "configure and activate at the start; false leaves that to ros2 lifecycle"
    )
    realtime_priority: int = priority_parameter(10)
    torch_threads: int = parameter(1, "CPU threads that torch may use", minimum=1, maximum=1024)
    stub_expert_ms: float = parameter(
        24.0, "duration of a step of model stub [ms]", minimum=0.0, maximum=60_000.0
    )


class ActionExpert(ManagedNode[ActionExpertConfig]):
    """Publishes ``/vla/actions`` on an absolute schedule, and after each chunk ``/vla/signals``.

    The worker's thread reads what has come at each tick, runs the model and publishes; nothing else
    touches the inputs, so that a tick waits for nobody.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("action_expert", ActionExpertConfig, **node_arguments)
        self._budgets = Budgets(
            features=age_budget(self.config, "features"),
            sensor=age_budget(self.config, "sensor"),
            robot=age_budget(self.config, "robot"),
            robot_required=self.config.robot_required,
            min_samples=self.config.min_samples,
            dead_sensor=self.config.dead_sensor,
        )
        self._model: ActionModel | None = None
        self._stage = self.add_stream("action_expert")
        self._stage.capacity = SENSOR_WINDOW
        period = 1.0 / self.config.action_rate
        self._rivals = Rivals(
            self, "/vla/actions", period, allow_several=self.config.allow_several_publishers
        )
        self._inputs = ExpertInputs(
            self,
            self._stage,
            self.add_stream("sensor"),
            self.config.sensor_fill,
            RunStateKeeper(self),
            hold_changed=self.config.changed_features == "hold",
            allow_several=self.config.allow_several_publishers,
            rivals=self._rivals,
        )
        self._console, self._debug = Console(self), DebugRecords(self)
        self._chunk_id = 0
        self._last_wait_line = self._last_report = -math.inf
        self._chunks = self.create_publisher(ActionChunk, "/vla/actions", qos.ACTIONS)
        self._signals = self.create_publisher(Signals, "/vla/signals", qos.SIGNALS)
        self._note_lateness = self._stage.timer("tick jitter", _LATE_TICK)
        self._note_expert = self._stage.timer("expert", period)
        self._note_publishing = self._stage.timer("publish", _LONG_PUBLISHING)
        self._note_features_age = self._stage.timer("features age", self._budgets.features.soft)
        self._note_window_age = self._stage.timer("window age", self._budgets.sensor.soft)

    def load(self) -> None:
        """Load the model."""
        config = self.config
        loaded = load_action_model(
            config.model,
            config.checkpoint,
            config.device,
            config.dtype,
            config.fusion_strategy,
            torch_threads=config.torch_threads,
            stub_seconds=config.stub_expert_ms / 1000.0,
        )
        self._model = loaded.model
        banner = (
            loaded.model.model_id,
            *loaded.summary,
            f"{config.action_rate:g} chunks per second, {config.vl_reuse} for one VLM update",
        )
        self.get_logger().info("\n  ".join(banner))

    def unload(self) -> None:
        """Drop the model and the inputs."""
        self._model = None
        self._inputs.forget()
        self._stage.ready, self._stage.fill = False, 0

    def work(self, stopping: threading.Event) -> None:
        """Tick until ``stopping`` is set."""
        assert self._model is not None
        self._inputs.forget()
        self._stage.hold = ""
        schedule = Schedule(1.0 / self.config.action_rate, self.tick_clock(_AWAKE))
        self.reports_itself = schedule.period <= REPORT_PERIOD
        while (due := self._next_tick(schedule, stopping, self._model)) is not None:
            tick, draft = due
            self._note_lateness(tick.late)
            if tick.missed:
                self._stage.problem(
                    "missed tick",
                    f"no chunk for {tick.missed} tick(s): a step took longer than "
                    f"{schedule.period:.3f} s or the machine was busy",
                    tick.missed,
                )
            self._act(draft, self._model, tick.late)
            self._report_after_tick()
        self.reports_itself = False

    def _next_tick(
        self, schedule: Schedule, stopping: threading.Event, model: ActionModel
    ) -> tuple[Tick, Draft] | None:
        """The next tick, shortly before which all is done that can be: how long that takes varies,
        and with it when the chunk would be ready.
        """
        stamp = schedule.wait_until_near(stopping, _AHEAD)
        self._inputs.read(model.feature_size)
        draft = self._draft(stamp, model)
        tick = schedule.wait(stopping)
        if tick is None:
            return None
        if abs(tick.stamp - stamp) > 0.5 * schedule.period:  # another one, ticks were missed
            draft = self._draft(tick.stamp, model)
        return tick, draft

    def _draft(self, stamp: float, model: ActionModel) -> Draft:
        features, window = self._inputs.features, self._inputs.window.snapshot()
        inputs = self._inputs.judged_at(stamp, window, self.config.vl_reuse)
        verdict = self._judge(inputs)
        if features is None or verdict.hold:
            return Draft(stamp, features, window, inputs, verdict, None)
        chunk = draft_chunk(features, window, inputs=inputs, verdict=verdict, stamp=stamp)
        chunk.step_dt = 1.0 / self.config.action_rate
        chunk.sensor_fill = self.config.sensor_fill
        chunk.model_id, chunk.source_id = model.model_id, self.source_id
        chunk.robot_state = self._inputs.robot_state
        return Draft(stamp, features, window, inputs, verdict, chunk)

    def _act(self, draft: Draft, model: ActionModel, late: float) -> None:
        started = time.monotonic()
        hold, chunk = draft.verdict.hold, draft.chunk
        self._stage.fill, self._stage.ready = draft.window.samples, not hold
        self._say_hold(hold)
        if chunk is None or draft.features is None:
            self._say_wait(draft.window, hold)
            return
        with self._stage.doing("a step", _LONG_STEPS / self.config.action_rate):
            steps = model.act(draft.features.values, draft.window.values)
        if not np.isfinite(steps.actions).all():
            self._stage.problem("not finite", "the model gave NaN or infinite actions: none sent")
            return
        if hold := self._judge(draft.inputs.after(late + time.monotonic() - started)).hold:
            self._stage.problem("late step", f"the step took so long that meanwhile {hold}")
            return
        self._chunk_id += 1
        chunk.chunk_id = self._chunk_id
        put_steps(chunk, steps)
        computed = time.monotonic()
        chunk.inference_time = computed - started
        self._rivals.note(chunk.chunk_id)
        self._chunks.publish(chunk)
        self._inputs.count_use()
        self._stage.accept(draft.stamp)
        publishing = time.monotonic() - computed
        self._note_publishing(publishing)
        self._note_expert(computed - started)
        self._note_features_age(chunk.features_age)
        self._note_window_age(chunk.sensor_age)
        if self._signals.get_subscription_count():
            self._signals.publish(signals_of(chunk, draft.features.message, draft.window))
        self._debug.say(lambda: chunk_line(chunk, late=late, publishing=publishing))

    def _judge(self, inputs: Inputs) -> Verdict:
        return judge(inputs, self._budgets, HORIZON, 1.0 / self.config.action_rate)

    def _say_hold(self, hold: str) -> None:
        """Report at once when chunks begin or cease to be held back, or for another reason: ages in
        it run.
        """
        before, self._stage.hold = self._stage.hold, hold
        if before.translate(_NO_NUMBERS) == hold.translate(_NO_NUMBERS):
            return
        self._last_report = -math.inf
        if bool(before) == bool(hold):
            return
        if hold and self._chunk_id:
            self.get_logger().warning(f"HOLD: no action chunks: {hold}")
        elif self._chunk_id:
            self.get_logger().info("action chunks again")

    def _report_after_tick(self) -> None:
        """Between two ticks, so that reporting never keeps one waiting."""
        if not self.reports_itself:
            return
        now = time.monotonic()
        if now - self._last_report >= REPORT_PERIOD - 0.5 / self.config.action_rate:
            self._last_report = now
            self.publish_reports()
        else:
            self.publish_news()

    def _say_wait(self, window: WindowSnapshot, hold: str) -> None:
        now = time.monotonic()
        if now - self._last_wait_line < _WAIT_PERIOD:
            return
        self._last_wait_line = now
        if self._inputs.features is not None and window.samples >= self.config.min_samples:
            self._stage.warn("hold", hold)  # all is there, but not fit to be used
            return
        views_ready, views = self._inputs.views_ready
        line = WaitLine(
            features=self._inputs.features is not None,
            views_ready=views_ready,
            views=views,
            samples=window.samples,
            window=SENSOR_WINDOW,
            min_samples=self.config.min_samples,
        )
        self._console.say(line)


def main() -> int:
    """Run the node."""
    return run(ActionExpert)

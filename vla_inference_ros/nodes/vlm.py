"""VLM node: the newest picture of each view and an instruction in, vision-language features out."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from vla_inference_ros.convert import header, time_message
from vla_inference_ros.core.schedule import Schedule
from vla_inference_ros.core.validity import CONSEQUENCES
from vla_inference_ros.model.device import explained_memory
from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    VIEWS,
    FeatureModel,
    FrameError,
    View,
)
from vla_inference_ros.model.load import load_feature_model
from vla_inference_ros.model.picture import HEIGHT, WIDTH
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.age_limits import age_budget, age_limit
from vla_inference_ros.nodes.dds_profile import LARGE_SEGMENT
from vla_inference_ros.nodes.debug_lines import update_line
from vla_inference_ros.nodes.managed_node import ManagedNode
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.picture_watch import PictureWatch
from vla_inference_ros.nodes.run_state import (
    LONGEST_INSTRUCTION,
    InstructionError,
    RunStateKeeper,
)
from vla_inference_ros.nodes.sourced_inbox import several_parameter
from vla_inference_ros.nodes.threads import ThreadConfig, priority_parameter
from vla_inference_ros.nodes.verbosity import DebugRecords
from vla_inference_ros.nodes.view_input import ViewInput, check_views
from vla_inference_ros.nodes.vla_node import run

_LONG_DECODING = 0.05  # of the pictures of one update [s]


@dataclass(frozen=True, slots=True)
class VlmConfig(ThreadConfig):
    """Parameters of the VLM node."""

    model: str = parameter(
        "Qwen/Qwen2.5-VL-3B-Instruct", "hub id or local folder of the model, or tiny, or stub"
    )
    checkpoint: str = parameter("", "file whose weights of the VLM, whole or LoRA, are to be used")
    adapter_config: str = parameter(
        "", "PEFT's settings of the checkpoint's LoRA; '' for adapter_config.json beside it, if any"
    )
    lora_alpha: float = parameter(
        0.0,
        "alpha of the checkpoint's LoRA; 0 for what adapter_config says, or 32 for rank 16 without",
        minimum=0.0,
        maximum=1e6,
    )
    device: str = parameter("auto", "torch device: auto, cpu, cuda or cuda:N")
    dtype: str = parameter(
        "auto",
        "precision of the weights; auto is bfloat16 on a GPU, else float32",
        choices=("auto", "float32", "bfloat16", "float16", "float8"),
    )
    instruction: str = parameter(DEFAULT_INSTRUCTION, "prompt until /vla/instruction changes it")
    vl_reuse: int = parameter(4, "action chunks for one VLM update", minimum=1, maximum=1000)
    action_rate: float = parameter(
        10.0, "rate of the action expert [Hz]", minimum=0.1, maximum=1000.0
    )
    views: list[str] = parameter(list(VIEWS), "views that the model takes, some of View1 to View5")
    compressed_topics: list[str] = parameter(
        [f"/camera/{view.lower()}/image_raw/compressed" for view in VIEWS],
        "compressed image topic of each view, in the order of views; '' for none",
    )
    raw_topics: list[str] = parameter(
        [""] * len(VIEWS), "raw image topic of each view, in the order of views; '' for none"
    )
    image_reliability: str = parameter(
        "reliable",
        "best_effort takes the topics of camera drivers that publish so",
        choices=("reliable", "best_effort"),
    )
    image_age_soft: float = age_limit(
        0.2, "age of a view's image, when an update takes it, over which chunks are DEGRADED"
    )
    image_age_hard: float = age_limit(1.0, "the same, over which there is no update and no chunk")
    dead_pictures: str = parameter(
        "hold",
        "what follows when a view's pictures stay the same, come again, show nothing, are "
        "another view's or change their size, though their stamps go on: hold (no chunk), degrade, "
        "or warn, for drawn or constant test pictures",
        choices=CONSEQUENCES,
    )
    update_limit: float = parameter(
        1.2,
        "time of an update over which there is no chunk until it has ended [s]",
        minimum=0.001,
        maximum=3600.0,
    )
    allow_several_publishers: bool = several_parameter()
    autostart: bool = parameter(
        True, "configure and activate at the start; false leaves that to ros2 lifecycle"
    )
    realtime_priority: int = priority_parameter(5, ", as for any model that computes on the CPU")
    torch_threads: int = parameter(1, "CPU threads that torch may use", minimum=1, maximum=1024)
    stub_vl_ms: float = parameter(
        381.0, "duration of an update of model stub [ms]", minimum=0.0, maximum=60_000.0
    )


class Vlm(ManagedNode[VlmConfig]):
    """Publishes ``/vla/features`` every ``vl_reuse / action_rate`` seconds.

    The worker's thread takes the newest picture of each view and runs the model.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("vlm", VlmConfig, **node_arguments)
        config = self.config
        check_views(config.views, config.compressed_topics, config.raw_topics)
        if len(config.instruction) > LONGEST_INSTRUCTION:
            raise ParameterError(
                f"parameter 'instruction' has {len(config.instruction)} characters, more than "
                f"{LONGEST_INSTRUCTION}"
            )
        self._budget = age_budget(config, "image")
        self._model: FeatureModel | None = None
        self._on_cpu = False
        self._told_instruction = config.instruction
        self._debug = DebugRecords(self)
        self._update_id = 0
        self._taken: dict[str, float] = {}  # stamp of each view's picture of this update [Unix s]
        self._stage = self.add_stream("vlm")
        self._note_update = self._stage.timer("vlm", config.vl_reuse / config.action_rate)
        self._note_decoding = self._stage.timer("jpeg decode", _LONG_DECODING)
        self._features = self.create_publisher(VLFeatures, "/vla/features", qos.FEATURES)
        self._run_state = RunStateKeeper(self, self._note_run_state, self._refuse_instruction)
        self._views = {
            view: ViewInput(
                self,
                self.add_stream(view),
                compressed,
                raw,
                config.image_reliability,
                allow_several=config.allow_several_publishers,
            )
            for view, compressed, raw in zip(
                config.views, config.compressed_topics, config.raw_topics, strict=True
            )
        }

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to watch the pictures, and to work."""
        watch = PictureWatch(list(self._views.values()), self._say_dead)
        self.add_worker("vlm pictures", watch.run, claims_cpu=False)
        return super().on_activate(state)

    def load(self) -> None:
        """Load the model."""
        config = self.config
        loaded = load_feature_model(
            config.model,
            config.checkpoint,
            config.device,
            config.dtype,
            views=len(config.views),
            instruction=config.instruction,
            adapter_config=config.adapter_config,
            lora_alpha=config.lora_alpha,
            torch_threads=config.torch_threads,
            stub_seconds=config.stub_vl_ms / 1000.0,
        )
        self._model, self._on_cpu = loaded.model, loaded.on_cpu
        banner = (
            loaded.model.model_id,
            *loaded.summary,
            f"{len(config.views)} views of {WIDTH}x{HEIGHT} pixels, one update per "
            f"{config.vl_reuse / config.action_rate:.3f} s",
            f"instruction {self._instruction!r}",
        )
        self.get_logger().info("\n  ".join(banner))

    def unload(self) -> None:
        """Drop the model and the pictures."""
        self._model = None
        self._stage.ready = False

    def claim_cpu(self, cpu_affinity: str, realtime_priority: int) -> None:
        """A model that computes on the CPU keeps its ordinary priority: all else would wait."""
        super().claim_cpu(cpu_affinity, 0 if self._on_cpu else realtime_priority)

    @property
    def _instruction(self) -> str:
        """The prompt: that of the last message on /vla/instruction, whenever it came."""
        asked = self._run_state.instruction
        return self.config.instruction if asked is None else asked

    def _note_run_state(self) -> None:
        if self._instruction != self._told_instruction:
            self._told_instruction = self._instruction
            self.get_logger().info(f"instruction is now {self._instruction!r}")

    def _refuse_instruction(self, error: InstructionError) -> None:
        self._stage.problem(error.kind, str(error))

    def work(self, stopping: threading.Event) -> None:
        """Update until ``stopping`` is set."""
        assert self._model is not None
        for view in self._views.values():
            view.forget()
        # Half an action period after the expert's tick: an update that takes as long as planned
        # ends between two ticks, and not beside one.
        schedule = Schedule(
            self.config.vl_reuse / self.config.action_rate,
            self.tick_clock(),
            phase=0.5 / self.config.action_rate,
            catch_up=True,
        )
        while (tick := schedule.wait(stopping)) is not None:
            if tick.missed:
                self._stage.problem(
                    "skipped tick",
                    f"an update took longer than {schedule.period:.3f} s, so the next was skipped: "
                    "use a faster device, a smaller model or a larger vl_reuse",
                    tick.missed,
                )
            try:
                self._update(self._model)
            except FrameError as error:
                self._views[error.view].drop(error, self._taken.get(error.view))
        for view in self._views.values():
            view.forget()  # and with it what was wrong

    def _update(self, model: FeatureModel) -> None:
        started, begun = self.now(), time.monotonic()
        self._taken.clear()
        views = [view for view in (view.newest() for view in self._views.values()) if view]
        self._taken |= {view.name: view.stamp for view in views}
        reading = time.monotonic() - begun
        hold, reasons = self._grade(views, started)
        self._say_hold(hold)
        if hold:
            return
        instruction = self._instruction
        with explained_memory(), self._stage.doing("an update", self.config.update_limit):
            # Another instruction or program may need the GPU's last memory.
            features = model.features(views, instruction)
        finished = self.now()
        if hold := self._dead_views("hold"):  # the pictures have been found dead meanwhile
            self._say_hold(hold)
            return
        if dead := self._dead_views("degrade"):
            reasons.append(dead)
        self._update_id += 1
        oldest = min(view.stamp for view in views)
        message = VLFeatures(
            header=header(oldest),
            update_id=self._update_id,
            instruction=instruction,
            model_id=model.model_id,
            views=[view.name for view in views],
            view_stamps=[time_message(view.stamp) for view in views],
            reasons=reasons,
            started=time_message(started),
            finished=time_message(finished),
            shape=list(features.shape),
            data=array("f", features.tobytes()),
            source_id=self.source_id,
        )
        self._features.publish(message)
        self._stage.accept(oldest)
        self._note_update(finished - started)
        decoding = model.decode_time
        self._note_decoding(decoding)
        self._debug.say(lambda: update_line(message, reading=reading, decoding=decoding))

    def _grade(self, views: Sequence[View], now: float) -> tuple[str, list[str]]:
        """(why there must be no update with these views or '', reservations about one)."""
        there = {view.name for view in views}
        missing = [view for view in self.config.views if view not in there]
        holds = [f"no image of {', '.join(missing)}"] if missing else []
        if not self._run_state.is_informed:
            holds.append("asking the other nodes for the instruction")
        holds += filter(None, (view.conflict() for view in self._views.values()))
        reasons: list[str] = []
        for view in views:
            complaint, unusable = self._budget.excess(f"image of {view.name} is", now - view.stamp)
            if complaint:
                (holds if unusable else reasons).append(complaint)
        if dead := self._dead_views("hold"):
            holds.append(dead)
        return "; ".join(holds), reasons

    def _dead_views(self, choice: str) -> str:
        """What is dead about which views, if that is to have the consequence ``choice``."""
        if self.config.dead_pictures != choice:
            return ""
        dead = {name: view.dead for name, view in self._views.items()}
        return "; ".join(f"{name}: {', '.join(what)}" for name, what in dead.items() if what)

    def _say_dead(self) -> None:
        """A view has died, or come to life: say so now, for an update may take long."""
        if hold := self._dead_views("hold"):
            self._say_hold(hold)
        self.publish_news()

    def _say_hold(self, hold: str) -> None:
        """Report at once when updates begin or cease to be held back."""
        before, self._stage.hold = self._stage.hold, hold
        self._stage.ready = not hold
        if before != hold:
            self.publish_reports()
        if hold and self._update_id:
            self._stage.warn("hold", f"no update: {hold}")


def main() -> int:
    """Run the node."""
    return run(Vlm, LARGE_SEGMENT)

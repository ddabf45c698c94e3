"""VLM node: the newest picture of each view and an instruction in, vision-language features out."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from vla_inference_ros.convert import header, rgb_pixels, seconds, time_message
from vla_inference_ros.core.schedule import Schedule
from vla_inference_ros.model.device import explained_memory
from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    VIEWS,
    FrameError,
    ModelError,
    View,
)
from vla_inference_ros.model.load import load_feature_model
from vla_inference_ros.model.picture import HEIGHT, WIDTH
from vla_inference_ros.msg import VLFeatures
from vla_inference_ros.nodes import qos
from vla_inference_ros.nodes.inbox import Inbox
from vla_inference_ros.nodes.parameters import ParameterError, parameter
from vla_inference_ros.nodes.vla_node import StartError, VlaNode, run

_LONGEST_INSTRUCTION = 2000  # characters; the model's time grows with them
_PATIENCE = 5.0  # from the start on, before a view without images is warned of [s]


@dataclass(frozen=True, slots=True)
class VlmConfig:
    """Parameters of the VLM node."""

    model: str = parameter(
        "Qwen/Qwen2.5-VL-3B-Instruct", "hub id or local folder of the model, or tiny, or stub"
    )
    checkpoint: str = parameter("", "file whose weights of the VLM, whole or LoRA, are to be used")
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
    torch_threads: int = parameter(1, "CPU threads that torch may use", minimum=1, maximum=1024)
    stub_vl_ms: float = parameter(
        381.0, "duration of an update of model stub [ms]", minimum=0.0, maximum=60_000.0
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    """A view's newest picture; ``read`` gives the model's form of it, when it is needed."""

    stamp: float
    read: Callable[[], Any]


class Vlm(VlaNode[VlmConfig]):
    """Publishes ``/vla/features`` every ``vl_reuse / action_rate`` seconds.

    The worker's thread takes the newest picture of each view and runs the model.
    """

    def __init__(self, **node_arguments: Any) -> None:
        super().__init__("vlm", VlmConfig, **node_arguments)
        config = self.config
        _check_views(config)
        if len(config.instruction) > _LONGEST_INSTRUCTION:
            raise ParameterError(
                f"parameter 'instruction' has {len(config.instruction)} characters, more than "
                f"{_LONGEST_INSTRUCTION}"
            )
        try:
            loaded = load_feature_model(
                config.model,
                config.checkpoint,
                config.device,
                config.dtype,
                views=len(config.views),
                instruction=config.instruction,
                torch_threads=config.torch_threads,
                stub_seconds=config.stub_vl_ms / 1000.0,
            )
        except ModelError as error:
            raise StartError(str(error)) from error
        self._model = loaded.model
        self._sources: dict[str, list[tuple[Inbox[Any], Callable[[Any], Any]]]] = {}
        self._pictures: dict[str, _Picture] = {}
        self._instruction = config.instruction
        self._update_id = 0
        self._patient_until = time.monotonic() + _PATIENCE
        self._stage = self.add_stream("vlm")
        self._streams_of = {view: self.add_stream(view) for view in config.views}
        self._features = self.create_publisher(VLFeatures, "/vla/features", qos.FEATURES)
        self.create_subscription(
            String, "/vla/instruction", self._change_instruction, qos.INSTRUCTION
        )
        for view, compressed, raw in zip(
            config.views, config.compressed_topics, config.raw_topics, strict=True
        ):
            self._subscribe(view, compressed, raw)
        self.add_worker("vlm model", self._work)
        banner = (
            self._model.model_id,
            *loaded.summary,
            f"{len(config.views)} views of {WIDTH}x{HEIGHT} pixels, one update per "
            f"{config.vl_reuse / config.action_rate:.3f} s",
            f"instruction {self._instruction!r}",
        )
        self.get_logger().info("\n  ".join(banner))

    def _subscribe(self, view: str, compressed: str, raw: str) -> None:
        profile = qos.newest(self.config.image_reliability)
        sources: list[tuple[Inbox[Any], Callable[[Any], Any]]] = []
        if compressed:
            inbox = Inbox(self, CompressedImage, compressed, profile)
            sources.append((inbox, lambda message: message.data.tobytes()))
        if raw:
            sources.append((Inbox(self, Image, raw, profile), rgb_pixels))
        self._sources[view] = sources

    def _change_instruction(self, message: String) -> None:
        instruction = message.data.strip()
        if not instruction:
            self._stage.problem("empty instruction", "an empty /vla/instruction is not used")
            return
        if len(instruction) > _LONGEST_INSTRUCTION:
            self._stage.problem(
                "long instruction",
                f"an instruction of {len(instruction)} characters is not used: give it in at most "
                f"{_LONGEST_INSTRUCTION}",
            )
            return
        self.get_logger().info(f"instruction is now {instruction!r}")
        self._instruction = instruction

    def _work(self, stopping: threading.Event) -> None:
        """Worker thread: the only one that touches the model."""
        schedule = Schedule(self.config.vl_reuse / self.config.action_rate, self.tick_clock())
        while (tick := schedule.wait(stopping)) is not None:
            if tick.missed:
                self._stage.problem(
                    "skipped tick",
                    f"an update took longer than {schedule.period:.3f} s, so the next was skipped: "
                    "use a faster device, a smaller model or a larger vl_reuse",
                    tick.missed,
                )
            self._update()

    def _update(self) -> None:
        started = self.now()
        try:
            views = self._newest_views()
            self._stage.ready = len(views) == len(self.config.views)
            if not self._stage.ready:
                return
            instruction = self._instruction
            with explained_memory():  # another instruction or program may need the GPU's last
                features = self._model.features(views, instruction)
        except FrameError as error:
            self._drop(error)
            return
        finished = self.now()
        self._update_id += 1
        oldest = min(view.stamp for view in views)
        self._features.publish(
            VLFeatures(
                header=header(oldest),
                update_id=self._update_id,
                instruction=instruction,
                model_id=self._model.model_id,
                views=[view.name for view in views],
                view_stamps=[time_message(view.stamp) for view in views],
                started=time_message(started),
                finished=time_message(finished),
                shape=list(features.shape),
                data=array("f", features.tobytes()),
            )
        )
        self._stage.accept(oldest)

    def _newest_views(self) -> list[View]:
        """The newest picture of every view that has one, in the order of ``views``."""
        views = []
        for name in self.config.views:
            self._look_for_picture(name)
            picture = self._pictures.get(name)
            if picture is None:
                self._warn_of_missing(name)
                continue
            try:
                views.append(View(name, picture.stamp, picture.read()))
            except ValueError as error:
                raise FrameError(name, str(error)) from error
        return views

    def _look_for_picture(self, view: str) -> None:
        """Keep the view's newest picture of those that have come since the last update.

        An older one does not stand in their way: its stamp may be wrong, or time set back.
        """
        fresh = []
        for inbox, read in self._sources[view]:
            message = inbox.newest()
            if message is not None:
                stamp = seconds(message.header.stamp)
                self._streams_of[view].accept(stamp)
                fresh.append(_Picture(stamp, partial(read, message)))
        if fresh:
            self._pictures[view] = max(fresh, key=lambda picture: picture.stamp)

    def _warn_of_missing(self, view: str) -> None:
        if time.monotonic() > self._patient_until:
            reasons = "; ".join(inbox.why_silent() for inbox, _ in self._sources[view])
            self._streams_of[view].warn("no image", f"no image yet: {reasons}")

    def _drop(self, error: FrameError) -> None:
        """Forget a picture that cannot be read: its view waits for the next one."""
        self._pictures.pop(error.view, None)
        self._streams_of[error.view].problem("undecodable", f"no update with this picture: {error}")


def _check_views(config: VlmConfig) -> None:
    unknown = [view for view in config.views if view not in VIEWS]
    if unknown or not config.views or len(set(config.views)) != len(config.views):
        raise ParameterError(f"parameter 'views' is {config.views}, not some of {list(VIEWS)}")
    for name in ("compressed_topics", "raw_topics"):
        if len(getattr(config, name)) != len(config.views):
            raise ParameterError(
                f"parameter {name!r} has {len(getattr(config, name))} entries, not one for each of "
                f"the {len(config.views)} views"
            )
    for view, *topics in zip(
        config.views, config.compressed_topics, config.raw_topics, strict=True
    ):
        if not any(topics):
            raise ParameterError(
                f"parameters 'compressed_topics' and 'raw_topics': none for {view}"
            )


def main() -> int:
    """Run the node."""
    return run(Vlm)

"""What a part of the GPU bench is to measure: device, sizes and how often.

The full form is the whole 3B model on a GPU. The reduced form is for a CPU: everything small and
few, so that a test can run it; its times mean nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cost
import torch
from step import Heads, random_heads

from vla_inference_ros.model.device import prepare_torch
from vla_inference_ros.model.tiny import tiny_heads


@dataclass(frozen=True, slots=True)
class Settings:
    """``precision`` is the VLM's; ``updates`` and ``steps`` are how often each is timed, after
    ``warm_up`` more updates.
    """

    device: torch.device
    width: Literal["full", "small"]
    blocks: int
    layers: int
    precision: str
    updates: int
    warm_up: int
    steps: int
    robots: tuple[int, ...]

    @property
    def on_gpu(self) -> bool:
        """Whether figures mean something and targets hold."""
        return self.device.type == "cuda"

    @property
    def dtype(self) -> torch.dtype:
        """The type of the VLM's weights."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    @property
    def widths(self) -> cost.Widths:
        """The VLM's sizes."""
        return cost.FULL if self.width == "full" else cost.SMALL

    @property
    def patience(self) -> float:
        """How long the machine's own rates are measured: 1 in full."""
        return 1.0 if self.on_gpu else 0.01

    def prepare(self) -> None:
        """Set torch up in this process, with one thread as in a node."""
        prepare_torch(self.device.type, 1)

    def heads(self) -> Heads:
        """A sensor encoder and an action expert that fit the VLM's features."""
        if self.width == "full":
            return random_heads(self.device)
        encoder, expert = tiny_heads()
        return encoder.eval().to(self.device), expert.eval().to(self.device)


def prepared(reduced: bool) -> Settings:
    """The form that is asked for, with torch set up for it."""
    settings = _reduced() if reduced else _full()
    settings.prepare()
    return settings


def _full() -> Settings:
    """The whole model on the first GPU."""
    return Settings(
        torch.device("cuda", 0),
        "full",
        cost.VISION_BLOCKS,
        cost.TEXT_LAYERS,
        "bfloat16",
        updates=50,
        warm_up=2,
        steps=200,
        robots=(1, 2, 4, 8),
    )


def _reduced() -> Settings:
    """A small model on the CPU, once or twice each."""
    return Settings(
        torch.device("cpu"), "small", 1, 2, "float32", updates=1, warm_up=0, steps=2, robots=(1, 2)
    )

"""What all benches of the VL update on a GPU share: the model, the pictures and the figures."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from functools import cached_property

import cost
import numpy as np
import reference
import torch
from report import Row
from timing import PeakMemory, by_turns, median, times_row
from update import TARGET_CAPABILITY, Feature, Updates, as_views, turned

from gpu.settings import Settings
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, VIEWS, View
from vla_inference_ros.model.qwen.features import QwenFeatures

_BATCH_RUNS = 20  # of the updates of several robots, at most
_TARGET_MS, _TARGET_GB = 60.0, 8.0  # of our update, on a GPU of TARGET_CAPABILITY


class UpdateBench:
    """One set of random weights, which the CPU keeps, and one way after the other on the GPU."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.memory = PeakMemory(settings.device)
        self.memory.start()
        self.pair = Updates(
            settings.device, settings.blocks, settings.layers, settings.dtype, settings.width
        )
        self.photographs = reference.photographs(len(reference.PHOTOGRAPHS))
        self._count = itertools.count(1)
        self._capable = (
            settings.on_gpu
            and torch.cuda.get_device_capability(settings.device) >= TARGET_CAPABILITY
        )

    @cached_property
    def rate(self) -> float:
        """What this machine's matrix products reach in the VLM's type [FLOP/s]."""
        settings = self.settings
        return cost.measured_matmul_rate(settings.dtype, settings.device, settings.patience)

    def jpegs(self, run: int = 0) -> list[bytes]:
        """Five photographs, in another run others in each place."""
        return turned(self.photographs, run)[: len(VIEWS)]

    def robots(self, count: int = 1, run: int = 0) -> list[list[View]]:
        """The views of ``count`` robots; up to seven differ, and all are others in the next run."""
        return [as_views(self.jpegs(run + robot)) for robot in range(count)]

    def new_jpegs(self) -> list[bytes]:
        """Five photographs, each another than the one that was in its place before."""
        return self.jpegs(next(self._count))

    def new_views(self) -> list[View]:
        """The views of one robot, each with a new picture."""
        return as_views(self.new_jpegs())

    def new_robots(self, count: int) -> list[list[View]]:
        """The views of ``count`` robots, each with a new picture."""
        return self.robots(count, next(self._count))

    def first(
        self, name: str, update: Callable[[], Feature], expected: Feature | None, limit: float
    ) -> Iterator[Row]:
        """The first update, which also captures or compiles, and how near it comes."""
        began = time.perf_counter()
        found = update()
        yield Row(f"{name}: first update [s]", f"{time.perf_counter() - began:.2f}")
        if expected is not None:
            worst = min(cosine(*pair) for pair in zip(found, expected, strict=True))
            yield Row(f"{name}: cosine", f"{worst:.6f}", f">= {limit}", worst >= limit)

    def timed(
        self,
        name: str,
        update: Callable[[], object],
        *,
        robots: int = 1,
        more_flops: int = 0,
        judged: bool = True,
        memory: bool = True,
    ) -> Iterator[Row]:
        """Times, the achieved rate and peak memory; ``judged`` by the targets, if these hold."""
        runs, warm_up = self.settings.updates, self.settings.warm_up
        if robots > 1:  # which take longer
            runs = min(runs, _BATCH_RUNS)
        seconds = by_turns({name: update}, runs, warm_up)[name]
        typical, peak = median(seconds), self.memory.read()
        times = times_row(name, seconds)
        judged = judged and self.settings.on_gpu
        yield self._against(times.name, times.value, _TARGET_MS, typical * 1e3, judged)
        rate = (more_flops + robots * self.flops()) / typical
        value = f"{rate / 1e12:.3f}, {rate / self.rate:.2f}"
        yield Row(f"{name}: TFLOP/s, share of the matmul rate", value)
        if memory:
            yield self._against(f"{name}: memory [GB]", f"{peak:.2f}", _TARGET_GB, peak, judged)

    def flops(self) -> int:
        """The operations of one robot's update, without the head."""
        settings = self.settings
        return cost.vision_flops(settings.blocks, widths=settings.widths) + cost.text_flops(
            settings.layers, self.pair.tokens(), widths=settings.widths
        )

    def ours(self, precision: str = "") -> Callable[[list[View]], Feature]:
        """The update as the node makes it."""
        features = self.pair.features(QwenFeatures, precision)
        return lambda views: features.features(views, DEFAULT_INSTRUCTION)

    def _against(self, name: str, value: str, target: float, found: float, judged: bool) -> Row:
        if not judged:
            return Row(name, value)
        return Row(name, value, f"<= {target:g}", found <= target if self._capable else None)


def cosine(found: Feature, expected: Feature) -> float:
    """Of the angle between two features."""
    product = float((found.ravel() * expected.ravel()).sum())
    return product / float(np.linalg.norm(found)) / float(np.linalg.norm(expected))

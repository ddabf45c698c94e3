"""The VL update of five views: the plain path, ours, and ours in other ways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import cost
import reference
from report import Row
from timing import by_turns, median, times_row
from update import Feature

from gpu.guard import guarded
from gpu.profiled import longest_kernels
from gpu.settings import Settings
from gpu.updating import UpdateBench
from gpu.variants import BatchedFeatures, compiled
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION
from vla_inference_ros.model.qwen.features import QwenFeatures

_COSINE = 0.999  # of the angle to the feature of the path before, at least


def rows(settings: Settings) -> Iterator[Row]:
    """One way after the other, each alone on the GPU."""
    yield from _Ways(settings).rows()


class _Ways:
    """The ways to make one update, with the same weights."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bench = UpdateBench(settings)
        (self._views,) = self._bench.robots()
        self._plain_feature: Feature | None = None  # of our own pixels
        self._our_feature: Feature | None = None

    def rows(self) -> Iterator[Row]:
        """All of them; what fails is left out."""
        settings, bench = self._settings, self._bench
        depths = f"{settings.precision}, {settings.blocks} blocks, {settings.layers} layers"
        yield Row("weights", depths)
        yield Row("tokens", str(bench.pair.tokens()))
        yield from guarded("plain", self._plain())
        bench.pair.make_room()
        yield Row("matmul rate [TFLOP/s]", f"{bench.rate / 1e12:.3f}")
        yield from guarded("ours", self._ours())
        yield from guarded("one pass", self._one_pass("one pass"))
        backend = "inductor" if settings.on_gpu else "eager"
        yield from guarded("compiled", self._compiled(backend))
        yield from guarded("one pass, compiled", self._one_pass("one pass, compiled", backend))

    def _plain(self) -> Iterator[Row]:
        bench, pair = self._bench, self._bench.pair
        jpegs = bench.jpegs()
        self._plain_feature = pair.same_pixels(jpegs)
        head = cost.lm_head_flops(pair.tokens(), widths=self._settings.widths)
        yield from bench.timed(
            "plain", lambda: pair.reference(bench.new_jpegs()), more_flops=head, judged=False
        )
        pixels, grid = reference.reference_pixels(jpegs, reference.reference_processor())
        yield from bench.timed(
            "plain, pictures ready",
            lambda: pair.forward(pixels, grid),
            more_flops=head,
            judged=False,
            memory=False,
        )

    def _ours(self) -> Iterator[Row]:
        bench = self._bench
        bench.memory.start()
        features = bench.pair.features(QwenFeatures)
        waits: list[float] = []

        def same() -> Feature:
            return features.features(self._views, DEFAULT_INSTRUCTION)

        def update() -> None:
            features.features(bench.new_views(), DEFAULT_INSTRUCTION)
            waits.append(features.decode_time)

        yield from bench.first("ours", same, self._plain_feature, _COSINE)
        self._our_feature = same()
        yield from bench.timed("ours", update)
        yield Row("ours: waiting for pictures, median [ms]", f"{median(waits) * 1e3:.2f}")
        same()
        unchanged = by_turns({"": same}, self._settings.updates, self._settings.warm_up)[""]
        yield times_row("ours, no picture changed", unchanged)
        yield from guarded("profile", longest_kernels(update, self._settings.on_gpu))

    def _compiled(self, backend: str) -> Iterator[Row]:
        bench = self._bench
        bench.memory.start()
        with compiled(backend):
            update = bench.ours()
            yield from bench.first(
                "compiled", lambda: update(self._views), self._our_feature, _COSINE
            )
            yield from bench.timed("compiled", lambda: update(bench.new_views()))

    def _one_pass(self, name: str, backend: str = "") -> Iterator[Row]:
        bench = self._bench
        bench.memory.start()
        with compiled(backend) if backend else nullcontext():
            features = bench.pair.features(BatchedFeatures)
            yield from bench.first(
                name, lambda: features.of_all([self._views]), self._our_feature, _COSINE
            )
            yield from bench.timed(name, lambda: features.of_all(bench.new_robots(1)))
            yield from bench.timed(
                f"{name}, pictures ready", features.again, judged=False, memory=False
            )

"""The updates of several robots in one pass: what one robot more costs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from report import Row
from update import Feature

from gpu.guard import guarded
from gpu.settings import Settings
from gpu.updating import UpdateBench
from gpu.variants import BatchedFeatures

_COSINE = 0.999  # of a robot's feature in a batch to what it has alone, at least


def rows(settings: Settings) -> Iterator[Row]:
    """One batch after the other, with the same weights."""
    bench = UpdateBench(settings)
    bench.pair.make_room()
    yield Row("matmul rate [TFLOP/s]", f"{bench.rate / 1e12:.3f}")
    update = bench.ours()
    alone = np.concatenate([update(views) for views in bench.robots(max(settings.robots))])
    del update
    bench.memory.start()
    batched = bench.pair.features(BatchedFeatures)
    for robots in settings.robots:
        name = f"{robots} robots" if robots > 1 else "1 robot"
        yield from guarded(name, _batch(name, bench, batched, robots, alone[:robots]))


def _batch(
    name: str, bench: UpdateBench, batched: BatchedFeatures, robots: int, alone: Feature
) -> Iterator[Row]:
    batched.forget()
    bench.memory.start()
    yield from bench.first(name, lambda: batched.of_all(bench.robots(robots)), alone, _COSINE)
    yield from bench.timed(
        name, lambda: batched.of_all(bench.new_robots(robots)), robots=robots, judged=robots == 1
    )
    yield from bench.timed(
        f"{name}, pictures ready", batched.again, robots=robots, judged=False, memory=False
    )

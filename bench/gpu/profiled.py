"""Which kernels an update spends its time in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from report import Row
from torch.profiler import ProfilerActivity, profile

_KERNELS = 10
_UPDATES = 3
_NAME = 72  # characters


def longest_kernels(update: Callable[[], object], on_gpu: bool) -> Iterator[Row]:
    """The ten kernels, on a CPU operators, that take longest in an update, with their calls."""
    update()
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        for _ in range(_UPDATES):
            update()
    times: list[tuple[float, int, str]] = []
    for event in profiler.key_averages():
        if (event.device_type.name == "CUDA") != on_gpu:
            continue  # of a GPU's profile the calls that launch
        times.append((_microseconds(event, on_gpu) / 1e3 / _UPDATES, event.count, event.key))
    if not times:
        raise RuntimeError("the profiler has seen no kernel")
    calls = sum(count for _, count, _ in times) / _UPDATES
    total = sum(milliseconds for milliseconds, *_ in times)
    yield Row("kernels of an update: time [ms], number", f"{total:.3f}, {calls:.0f}")
    longest = sorted(times, reverse=True)[:_KERNELS]
    for place, (milliseconds, count, name) in enumerate(longest, start=1):
        value = f"{milliseconds:.3f} in {count / _UPDATES:.0f}"
        yield Row(f"  {place}. {_short(name)}", value)


def _microseconds(event: Any, on_gpu: bool) -> float:
    return float(event.self_device_time_total if on_gpu else event.self_cpu_time_total)


def _short(name: str) -> str:
    """A kernel's name without what all of torch's begin with, nor a table's separators."""
    name = name.removeprefix("void ").replace("at::native::", "").replace("|", "/")
    return name if len(name) <= _NAME else f"{name[: _NAME - 3]}..."

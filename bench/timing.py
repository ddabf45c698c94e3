"""Times two paths fairly, by turns, and puts what comes out into rows."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Row

Timings = dict[str, list[float]]


def by_turns(paths: dict[str, Callable[[], Any]], runs: int, warm_up: int) -> Timings:
    """Seconds of each call of each path, which take turns."""
    taken: Timings = {name: [] for name in paths}
    for run in range(warm_up + runs):
        for name, path in paths.items():
            began = time.perf_counter()
            path()
            if run >= warm_up:
                taken[name].append(time.perf_counter() - began)
    return taken


def median(seconds: list[float]) -> float:
    """The median [s]."""
    return float(np.median(seconds))


def times_row(name: str, seconds: list[float]) -> Row:
    """Median and p99 of a path, or the longest where there are too few for a p99."""
    worst = "p99" if len(seconds) >= 20 else "max"
    value = f"{median(seconds) * 1e3:.2f} / {np.percentile(seconds, 99) * 1e3:.2f}"
    return Row(f"{name}, median / {worst} [ms]", value)


def ratio_row(name: str, taken: Timings, ours: str, limit: float | None = None) -> Row:
    """How many times faster ``ours`` is than ``reference``; at least ``limit``."""
    ratio = median(taken["reference"]) / median(taken[ours])
    if limit is None:
        return Row(name, f"{ratio:.2f}")
    return Row(name, f"{ratio:.2f}", f">= {limit:g}", ratio >= limit)


def difference_row(name: str, difference: float, limit: float | None = None) -> Row:
    """How far a path's results are from the reference's; at most ``limit``."""
    if limit is None:
        return Row(name, f"{difference:.1e}")
    return Row(name, f"{difference:.1e}", f"<= {limit:g}", difference <= limit)


class PeakMemory:
    """The most memory in use since the last ``start``, the device's or this process's [GB]."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def start(self) -> None:
        """Forget what was used before."""
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with suppress(OSError):  # then the figure is since the process began
                Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")

    def read(self) -> float:
        """The figure; of a GPU what torch has reserved, graphs included."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) / 1e9
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9

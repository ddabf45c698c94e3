"""Times the model side by side with what a plain script does: pictures, VLM update, expert step.

Both paths get the same weights and the same photographs in one run, by turns. Prints median, p99,
ratio, peak memory and the floor: operations over the measured matmul rate, bytes over the measured
bandwidth. Without a GPU the VLM has its real widths but few layers, and its full depth is
extrapolated by operations; on a GPU the whole 3B model runs. Weights are random. Exit status 1 if a
limit is not kept.

    .venv/bin/python bench/model.py [--device cuda] [--threads 2] [--layers 3]
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cost
import numpy as np
import reference
import torch
from numpy.typing import NDArray
from report import Row, show

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, SENSOR_WINDOW, VIEWS, View
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.qwen.patches import (
    PATCH_SIZE,
    PATCHES_PER_VIEW,
    PatchWriter,
    write_patches,
)
from vla_inference_ros.model.qwen.prompt import tokenise
from vla_inference_ros.model.tiny import byte_tokenizer

_PICTURE_RUNS, _EXPERT_RUNS, _WARM_UP = 40, 100, 3
_REUSE = 4  # expert steps for one VLM update
_TARGET_CAPABILITY = (9, 0)  # of a GPU that the absolute targets are for

Timings = dict[str, list[float]]
Feature = NDArray[np.float32]


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


def _median(seconds: list[float]) -> float:
    return float(np.median(seconds))


def _times(name: str, seconds: list[float]) -> Row:
    worst = "p99" if len(seconds) >= 20 else "max"
    value = f"{_median(seconds) * 1e3:.2f} / {np.percentile(seconds, 99) * 1e3:.2f}"
    return Row(f"{name}, median / {worst} [ms]", value)


def _ratio(name: str, taken: Timings, ours: str, limit: float | None = None) -> Row:
    ratio = _median(taken["reference"]) / _median(taken[ours])
    if limit is None:
        return Row(name, f"{ratio:.2f}")
    return Row(name, f"{ratio:.2f}", f">= {limit:g}", ratio >= limit)


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
                Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> float:
        """The figure; of a GPU what torch has reserved, graphs included."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) / 1e9
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9


def pictures(photographs: list[bytes]) -> list[Row]:
    """Five JPEGs to what the vision encoder's first product reads."""
    processor = reference.reference_processor()
    out = np.empty((len(photographs), PATCHES_PER_VIEW, PATCH_SIZE), dtype=np.uint8)

    writer = PatchWriter(torch.get_num_threads())
    views = [View(name, 0.0, jpeg) for name, jpeg in zip(VIEWS, photographs, strict=True)]

    def ours() -> torch.Tensor:
        for _ in writer.write(views, list(out)):
            pass
        return torch.from_numpy(out).float()

    paths = {
        "reference": lambda: reference.reference_pixels(photographs, processor),
        "ours": ours,
    }
    taken = by_turns(paths, _PICTURE_RUNS, _WARM_UP)
    size = sum(map(len, photographs)) / len(photographs) / 1e3
    return [
        Row("photographs of 1280x720", f"{len(photographs)} of {size:.0f} kB"),
        *(_times(name, seconds) for name, seconds in taken.items()),
        _ratio("reference over ours", taken, "ours", 5.0),
    ]


class Updates:
    """The VLM update of both paths with the same random weights."""

    def __init__(self, device: torch.device, blocks: int, layers: int, dtype: torch.dtype) -> None:
        self.depths = blocks, layers
        self._device, self._dtype = device, dtype
        self._model = reference.build_qwen("full", blocks, layers, dtype=dtype, device=device)
        self._tokenizer = byte_tokenizer()
        self._processor = reference.reference_processor()

    def reference(self, photographs: list[bytes]) -> Feature:
        """The plain script's update."""
        pixels, grid = reference.reference_pixels(photographs, self._processor)
        return self._forward(pixels, grid)

    def same_pixels(self, photographs: list[bytes]) -> Feature:
        """The plain script's model with our pixels."""
        patches = np.empty((len(photographs), PATCHES_PER_VIEW, PATCH_SIZE), dtype=np.uint8)
        for jpeg, out in zip(photographs, patches, strict=True):
            write_patches(View("", 0.0, jpeg), out)
        grid = torch.tensor([[1, *cost.GRID]] * len(photographs))
        return self._forward(reference.pixels_of(patches.reshape(-1, PATCH_SIZE)), grid)

    def _forward(self, pixels: torch.Tensor, grid: torch.Tensor) -> Feature:
        ids = reference.reference_input_ids(self._tokenizer, DEFAULT_INSTRUCTION, grid)
        feature: Feature = (
            reference.reference_feature(self._model, ids, pixels, grid).float().cpu().numpy()
        )
        return feature

    def features(self) -> QwenFeatures:
        """Ours. On a GPU the reference's model makes room for it."""
        if self._device.type == "cuda":
            self._model.cpu()
        precision = str(self._dtype).removeprefix("torch.")
        return QwenFeatures(self._model.model, self._tokenizer, "", self._device, precision)

    def tokens(self) -> int:
        """Tokens of the prompt."""
        return len(tokenise(self._tokenizer, DEFAULT_INSTRUCTION, len(VIEWS)).ids)


def _new_views(photographs: list[bytes], run: int) -> list[View]:
    """Pictures that differ from the last run's, so that none is kept from it."""
    turned = photographs[run % len(photographs) :] + photographs[: run % len(photographs)]
    return [View(name, 0.0, jpeg) for name, jpeg in zip(VIEWS, turned, strict=True)]


def updates(
    photographs: list[bytes], device: torch.device, blocks: int, layers: int, runs: int
) -> list[Row]:
    """A VLM update from five JPEGs to the feature."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    pair = Updates(device, blocks, layers, dtype)
    memory = PeakMemory(device)
    count = iter(range(1_000_000))

    def of_reference() -> Feature:
        return pair.reference([bytes(v.picture) for v in _new_views(photographs, next(count))])

    memory.start()
    taken = by_turns({"reference": of_reference}, runs, 1)
    reference_peak = memory.read()
    expected, same = pair.reference(photographs), pair.same_pixels(photographs)
    memory.start()
    ours = pair.features()
    model_views = [View(name, 0.0, jpeg) for name, jpeg in zip(VIEWS, photographs, strict=True)]
    found = ours.features(model_views, DEFAULT_INSTRUCTION)
    taken |= by_turns(
        {"ours": lambda: ours.features(_new_views(photographs, next(count)), DEFAULT_INSTRUCTION)},
        runs,
        1,
    )
    our_peak = memory.read()
    difference = float(np.abs(found - same).max())
    cosine = float((found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected))
    exact = dtype == torch.float32
    return [
        Row("weights", f"{str(dtype)[6:]}, {blocks} blocks, {layers} layers"),
        *(_times(name, seconds) for name, seconds in taken.items()),
        _ratio("reference over ours", taken, "ours", 1.0),
        Row(
            "largest difference, same pixels",
            f"{difference:.1e}",
            "<= 1e-4" if exact else "",
            difference <= 1e-4 if exact else None,
        ),
        Row("cosine, each with its own pixels", f"{cosine:.5f}", ">= 0.999", cosine >= 0.999),
        Row("peak memory, reference / ours [GB]", f"{reference_peak:.2f} / {our_peak:.2f}"),
        *_depth(taken, pair, device, dtype),
        *_gpu_targets(taken["ours"], our_peak, device),
    ]


def _depth(taken: Timings, pair: Updates, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """The floor that the matmul rate sets, and what full depth would take by operations."""
    tokens, (blocks, layers) = pair.tokens(), pair.depths
    body = cost.vision_flops(blocks) + cost.text_flops(layers, tokens)
    head = {"reference": cost.lm_head_flops(tokens), "ours": 0}
    rate = cost.measured_matmul_rate(dtype, device)
    rows = [Row("matmul rate [TFLOP/s]", f"{rate / 1e12:.3f}")]
    for name, seconds in taken.items():
        floor = (body + head[name]) / rate
        value = f"{floor * 1e3:.1f}, {_median(seconds) / floor:.2f}"
        rows.append(Row(f"{name}: floor [ms], time over it", value))
    if blocks == cost.VISION_BLOCKS:
        return rows
    # The head does not grow with the depth, so its time, as at the matmul rate, is kept apart.
    whole = cost.vision_flops(cost.VISION_BLOCKS) + cost.text_flops(cost.TEXT_LAYERS, tokens)
    full = {
        name: (_median(seconds) - head[name] / rate) * whole / body + head[name] / rate
        for name, seconds in taken.items()
    }
    ratio = full["reference"] / full["ours"]
    value = f"{full['reference']:.1f} / {full['ours']:.1f}"
    return [
        *rows,
        Row("full depth by operations, reference / ours [s]", value),
        Row("  reference over ours", f"{ratio:.2f}", ">= 1", ratio >= 1),
    ]


def _gpu_targets(seconds: list[float], peak: float, device: torch.device) -> list[Row]:
    if device.type != "cuda":
        return [Row("on a GPU: 60 ms, 8 GB", "not measured")]
    median = _median(seconds) * 1e3
    capable = torch.cuda.get_device_capability(device) >= _TARGET_CAPABILITY
    return [
        Row("VLM update [ms]", f"{median:.1f}", "<= 60", median <= 60 if capable else None),
        Row("GPU memory of ours [GB]", f"{peak:.2f}", "<= 8", peak <= 8),
    ]


def random_heads(device: torch.device) -> tuple[SensorEncoder, ActionExpert]:
    """Both networks at full size with random weights, fusion ``concat``."""
    torch.manual_seed(reference.SEED)
    encoder = SensorEncoder(channels=SENSOR_CHANNELS, window=SENSOR_WINDOW, hidden=512, output=3072)
    expert = ActionExpert(vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7)
    return encoder.eval().to(device), expert.eval().to(device)


def expert_steps(device: torch.device) -> list[Row]:
    """An expert step from features and a sensor window to a chunk, features new every fourth."""
    encoder, expert = random_heads(device)
    random = np.random.default_rng(reference.SEED)
    features = random.normal(size=(_EXPERT_RUNS, 1, 1, 2048)).astype(np.float32)
    windows = random.normal(size=(_EXPERT_RUNS, SENSOR_WINDOW, SENSOR_CHANNELS)).astype(np.float32)
    precisions = ["float32", "float16", "bfloat16"]
    policies = {name: HeadsPolicy(encoder, expert, "", device, name) for name in precisions}
    chunks: dict[str, list[Feature]] = {name: [] for name in ("reference", *precisions)}

    def path(name: str) -> Callable[[], None]:
        def step() -> None:
            run = len(chunks[name]) % _EXPERT_RUNS
            given, window = features[run // _REUSE], windows[run]
            if name == "reference":
                vl = torch.tensor(given).to(device)
                steps = reference.reference_chunk(encoder, expert, vl, window)
            else:
                steps = policies[name].act(given, window)
            chunks[name].append(steps.actions)

        return step

    taken = by_turns({name: path(name) for name in chunks}, _EXPERT_RUNS, _WARM_UP)
    bandwidth = cost.measured_bandwidth(device)
    floor = cost.fused_expert_bytes(encoder, expert) / bandwidth
    rows = [
        *(_times(name, seconds) for name, seconds in taken.items()),
        Row("memory bandwidth [GB/s]", f"{bandwidth / 1e9:.1f}"),
        Row(
            "float32: floor [ms], time over it",
            f"{floor * 1e3:.2f}, {_median(taken['float32']) / floor:.2f}",
        ),
    ]
    for name in precisions:
        error = max(
            float(np.abs(ours - plain).max())
            for ours, plain in zip(chunks[name], chunks["reference"], strict=True)
        )
        exact = name == "float32"
        rows.append(_ratio(f"reference over {name}", taken, name, 1.25 if exact else None))
        rows.append(
            Row(
                "  largest difference of an action",
                f"{error:.1e}",
                "<= 1e-5" if exact else "",
                error <= 1e-5 if exact else None,
            )
        )
    return [*rows, *_expert_target(taken["float32"], device)]


def _expert_target(seconds: list[float], device: torch.device) -> list[Row]:
    if device.type != "cuda":
        return [Row("on a GPU: 2 ms", "not measured")]
    median = _median(seconds) * 1e3
    capable = torch.cuda.get_device_capability(device) >= _TARGET_CAPABILITY
    return [Row("expert step [ms]", f"{median:.2f}", "<= 2", median <= 2 if capable else None)]


def main() -> int:
    """Measure and print all three."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads")
    parser.add_argument("--layers", type=int, default=0, help="VLM's layers; 0: all on a GPU, or 3")
    parser.add_argument("--updates", type=int, default=0, help="VLM updates; 0: 30 on a GPU, or 3")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    on_gpu = device.type == "cuda"
    torch.set_num_threads(arguments.threads)
    layers = arguments.layers or (cost.TEXT_LAYERS if on_gpu else 3)
    blocks = cost.VISION_BLOCKS if layers == cost.TEXT_LAYERS else layers
    runs = arguments.updates or (30 if on_gpu else 3)
    photographs = reference.photographs(len(VIEWS))
    name = torch.cuda.get_device_name(device) if on_gpu else "cpu"
    print(f"{name}, {arguments.threads} threads, torch {torch.__version__}")
    kept = show("pictures", pictures(photographs))
    kept = show("expert step", expert_steps(device)) and kept
    kept = show("VLM update", updates(photographs, device, blocks, layers, runs)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

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
import os
import sys
from collections.abc import Callable
from contextlib import suppress

import cost
import cv2
import numpy as np
import reference
import torch
from report import Row, show
from timing import by_turns, difference_row, median, ratio_row, times_row
from update import TARGET_CAPABILITY, Feature, as_views, updates

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import SENSOR_WINDOW, VIEWS, ModelError
from vla_inference_ros.model.linear import check_precision
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.qwen.patches import (
    PATCH_SIZE,
    PATCHES_PER_VIEW,
    PatchWriter,
)

_PICTURE_RUNS, _EXPERT_RUNS, _WARM_UP = 40, 100, 3
_REUSE = 4  # expert steps for one VLM update


def pictures(photographs: list[bytes]) -> list[Row]:
    """Five JPEGs to what the vision encoder's first product reads."""
    processor = reference.reference_processor()
    out = np.empty((len(photographs), PATCHES_PER_VIEW, PATCH_SIZE), dtype=np.uint8)
    writer = PatchWriter()
    halves = [np.frombuffer(jpeg, dtype=np.uint8) for jpeg in photographs]

    def ours() -> torch.Tensor:
        for _ in writer.write(as_views(photographs), list(out)):
            pass
        return torch.from_numpy(out).float()

    def decode() -> None:
        for jpeg in halves:
            cv2.imdecode(jpeg, cv2.IMREAD_REDUCED_COLOR_2)

    paths = {
        "reference": lambda: reference.reference_pixels(photographs, processor),
        "ours": ours,
        "half-size decoding alone, one thread": decode,
    }
    taken = by_turns(paths, _PICTURE_RUNS, _WARM_UP)
    size = sum(map(len, photographs)) / len(photographs) / 1e3
    return [
        Row("photographs of 1280x720", f"{len(photographs)} of {size:.0f} kB"),
        *(times_row(name, seconds) for name, seconds in taken.items()),
        ratio_row("reference over ours", taken, "ours", 5.0),
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
    with suppress(ModelError):  # says that the device has no float8
        check_precision("float8", device)
        precisions.append("float8")
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
        *(times_row(name, seconds) for name, seconds in taken.items()),
        Row("memory bandwidth [GB/s]", f"{bandwidth / 1e9:.1f}"),
        Row("weights read a step, plain / ours [MB]", _megabytes(encoder, expert)),
    ]
    for name, share in zip(precisions, (1.0, 0.5, 0.5, 0.25), strict=False):
        value = f"{share * floor * 1e3:.2f}, {median(taken[name]) / (share * floor):.2f}"
        rows.append(Row(f"{name}: floor [ms], time over it", value))
        error = max(
            float(np.abs(ours - plain).max())
            for ours, plain in zip(chunks[name], chunks["reference"], strict=True)
        )
        exact = name == "float32"
        rows.append(ratio_row(f"reference over {name}", taken, name, 1.25 if exact else None))
        rows.append(
            difference_row("  largest difference of an action", error, 1e-5 if exact else None)
        )
    return [*rows, *_expert_target(taken["float32"], device)]


def _megabytes(encoder: SensorEncoder, expert: ActionExpert) -> str:
    plain = cost.expert_bytes(encoder, expert)
    return f"{plain / 1e6:.0f} / {cost.fused_expert_bytes(encoder, expert) / 1e6:.0f}"


def _expert_target(seconds: list[float], device: torch.device) -> list[Row]:
    if device.type != "cuda":
        return [Row("on a GPU: 2 ms", "not measured")]
    typical = median(seconds) * 1e3
    capable = torch.cuda.get_device_capability(device) >= TARGET_CAPABILITY
    return [Row("expert step [ms]", f"{typical:.2f}", "<= 2", typical <= 2 if capable else None)]


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
    torch.backends.cudnn.allow_tf32 = False  # both paths in float32 where they say so
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

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

import cost
import cv2
import numpy as np
import reference
import torch
from report import Row, show
from step import expert_steps, random_heads
from timing import by_turns, ratio_row, times_row
from update import as_views, updates

from vla_inference_ros.model.interface import VIEWS
from vla_inference_ros.model.qwen.patches import (
    PATCH_SIZE,
    PATCHES_PER_VIEW,
    PatchWriter,
)

_PICTURE_RUNS, _WARM_UP = 40, 3


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
    kept = show("expert step", expert_steps(device, random_heads(device))) and kept
    kept = show("VLM update", updates(photographs, device, blocks, layers, runs)) and kept
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""The VLM update of the bench of the models: a plain script's and ours, with the same weights."""

from __future__ import annotations

import itertools
from typing import Literal, TypeVar

import cost
import numpy as np
import reference
import torch
from numpy.typing import NDArray
from report import Row
from timing import PeakMemory, Timings, by_turns, difference_row, median, ratio_row, times_row

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, VIEWS, View
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.qwen.prompt import tokenise
from vla_inference_ros.model.tiny import byte_tokenizer

TARGET_CAPABILITY = (9, 0)  # of a GPU that the absolute targets are for

Feature = NDArray[np.float32]
Features = TypeVar("Features", bound=QwenFeatures)


class Updates:
    """The VLM update of both paths with the same random weights."""

    def __init__(
        self,
        device: torch.device,
        blocks: int,
        layers: int,
        dtype: torch.dtype,
        width: Literal["full", "small"],
    ) -> None:
        self.depths = blocks, layers
        self._device, self._dtype = device, dtype
        self._model = reference.build_qwen(width, blocks, layers, dtype=dtype, device=device)
        self._tokenizer = byte_tokenizer()
        self._processor = reference.reference_processor()

    def reference(self, photographs: list[bytes]) -> Feature:
        """The plain script's update."""
        pixels, grid = reference.reference_pixels(photographs, self._processor)
        return self.forward(pixels, grid)

    def same_pixels(self, photographs: list[bytes]) -> Feature:
        """The plain script's model with our pixels."""
        grid = torch.tensor([[1, *cost.GRID]] * len(photographs))
        return self.forward(reference.our_pixels(as_views(photographs)), grid)

    def forward(self, pixels: torch.Tensor, grid: torch.Tensor) -> Feature:
        """The plain script's model alone, with pictures that are ready."""
        ids = reference.reference_input_ids(self._tokenizer, DEFAULT_INSTRUCTION, grid)
        feature: Feature = (
            reference.reference_feature(self._model, ids, pixels, grid).float().cpu().numpy()
        )
        return feature

    def make_room(self) -> None:
        """Take the reference's model off the GPU."""
        self._model.cpu()

    def features(self, kind: type[Features], precision: str = "") -> Features:
        """Ours, made from the same model; ``precision`` is the model's own unless it is given."""
        precision = precision or str(self._dtype).removeprefix("torch.")
        return kind(self._model.model, self._tokenizer, "", self._device, precision)

    def tokens(self) -> int:
        """Tokens of the prompt."""
        return len(tokenise(self._tokenizer, DEFAULT_INSTRUCTION, len(VIEWS)).ids)


def updates(
    photographs: list[bytes],
    device: torch.device,
    blocks: int,
    layers: int,
    runs: int,
    width: Literal["full", "small"] = "full",
) -> list[Row]:
    """A VLM update from five JPEGs to the feature, each with pictures that are new."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    pair, memory = Updates(device, blocks, layers, dtype, width), PeakMemory(device)
    count = itertools.count(1)
    memory.start()
    expected = pair.reference(photographs)
    peaks = {"reference": memory.read()}
    same = pair.same_pixels(photographs)
    paths = {"reference": lambda: pair.reference(turned(photographs, next(count)))}
    taken: Timings = {}
    if device.type == "cuda":  # which has no room for both
        taken = by_turns(paths, runs, 1)
        paths.clear()
        pair.make_room()
    memory.start()
    ours = pair.features(QwenFeatures)
    found = ours.features(as_views(photographs), DEFAULT_INSTRUCTION)
    peaks["ours"] = memory.read()
    paths["ours"] = lambda: ours.features(
        as_views(turned(photographs, next(count))), DEFAULT_INSTRUCTION
    )
    taken |= by_turns(paths, runs, 1)
    difference = float(np.abs(found - same).max())
    cosine = float((found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected))
    exact = dtype == torch.float32
    return [
        Row("weights", f"{str(dtype)[6:]}, {blocks} blocks, {layers} layers"),
        *(times_row(name, seconds) for name, seconds in taken.items()),
        ratio_row("reference over ours", taken, "ours", 1.0),
        difference_row("largest difference, same pixels", difference, 1e-4 if exact else None),
        Row("cosine, each with its own pixels", f"{cosine:.5f}", ">= 0.999", cosine >= 0.999),
        Row(
            "peak memory, reference / ours [GB]", f"{peaks['reference']:.2f} / {peaks['ours']:.2f}"
        ),
        *_depth(taken, pair, device, dtype),
        *_gpu_targets(taken["ours"], peaks["ours"], device),
    ]


def turned(photographs: list[bytes], run: int) -> list[bytes]:
    """The photographs in another order than at the last run, so that no view's is the same."""
    first = run % len(photographs)
    return photographs[first:] + photographs[:first]


def as_views(photographs: list[bytes]) -> list[View]:
    """One photograph for each view."""
    return [View(name, 0.0, jpeg) for name, jpeg in zip(VIEWS, photographs, strict=True)]


def _depth(taken: Timings, pair: Updates, device: torch.device, dtype: torch.dtype) -> list[Row]:
    """The floor that the matmul rate sets, and what full depth would take by operations."""
    tokens, (blocks, layers) = pair.tokens(), pair.depths
    body = cost.vision_flops(blocks) + cost.text_flops(layers, tokens)
    head = {"reference": cost.lm_head_flops(tokens), "ours": 0}
    rate = cost.measured_matmul_rate(dtype, device)
    rows = [Row("matmul rate [TFLOP/s]", f"{rate / 1e12:.3f}")]
    for name, seconds in taken.items():
        floor = (body + head[name]) / rate
        value = f"{floor * 1e3:.1f}, {median(seconds) / floor:.2f}"
        rows.append(Row(f"{name}: floor [ms], time over it", value))
    if blocks == cost.VISION_BLOCKS:
        return rows
    # The head does not grow with the depth, so its time, as at the matmul rate, is kept apart.
    whole = cost.vision_flops(cost.VISION_BLOCKS) + cost.text_flops(cost.TEXT_LAYERS, tokens)
    full = {
        name: (median(seconds) - head[name] / rate) * whole / body + head[name] / rate
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
    typical = median(seconds) * 1e3
    capable = torch.cuda.get_device_capability(device) >= TARGET_CAPABILITY
    return [
        Row("VLM update [ms]", f"{typical:.1f}", "<= 60", typical <= 60 if capable else None),
        Row("GPU memory of ours [GB]", f"{peak:.2f}", "<= 8", peak <= 8),
    ]

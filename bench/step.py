"""The expert step of the benches: a plain script's and ours, with the same weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress

import cost
import numpy as np
import reference
import torch
from report import Row
from timing import Timings, by_turns, difference_row, median, ratio_row, times_row
from update import TARGET_CAPABILITY, Feature

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import SENSOR_WINDOW, ModelError
from vla_inference_ros.model.linear import check_precision
from vla_inference_ros.model.policy import HeadsPolicy

RUNS = 100
REUSE = 4  # expert steps for one VLM update
_WARM_UP = 3
_EXACT = 1e-5  # largest difference of an action in float32
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1}  # of a weight

Heads = tuple[SensorEncoder, ActionExpert]


def random_heads(device: torch.device) -> Heads:
    """Both networks at full size with random weights, fusion ``concat``."""
    torch.manual_seed(reference.SEED)
    with device:
        encoder = SensorEncoder(
            channels=SENSOR_CHANNELS, window=SENSOR_WINDOW, hidden=512, output=3072
        )
        expert = ActionExpert(vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7)
    return encoder.eval(), expert.eval()


def random_inputs(heads: Heads, runs: int) -> tuple[Feature, Feature]:
    """Features (runs, 1, 1, V) and windows (runs, T, C), always the same."""
    random = np.random.default_rng(reference.SEED)
    features = random.normal(size=(runs, 1, 1, heads[1].vl_dim)).astype(np.float32)
    windows = random.normal(size=(runs, SENSOR_WINDOW, SENSOR_CHANNELS)).astype(np.float32)
    return features, windows


def expert_steps(
    device: torch.device,
    heads: Heads,
    precisions: Sequence[str] = ("float32", "float16", "bfloat16", "float8"),
    *,
    runs: int = RUNS,
    least_ratio: float | None = 1.25,
    plain_bfloat16: bool = False,
    patience: float = 1.0,
) -> list[Row]:
    """An expert step from features and a sensor window to a chunk, features new every fourth.

    A precision that the device has not is left out. ``least_ratio`` is the limit of how many times
    faster than the plain modules ours are in float32. ``plain_bfloat16`` also times the plain
    modules in bfloat16. ``patience`` is for the measured bandwidth.
    """
    encoder, expert = heads
    features, windows = random_inputs(heads, runs)
    there = [name for name in precisions if _has(name, device)]
    steps = {"reference": _plain_step(encoder, expert)}
    if plain_bfloat16:
        halves = copy.deepcopy(encoder).bfloat16(), copy.deepcopy(expert).bfloat16()
        steps["reference in bfloat16"] = _plain_step(*halves)
    for name in there:
        policy = HeadsPolicy(encoder, expert, "", device, name)
        steps[name] = _our_step(policy)
    chunks: dict[str, list[Feature]] = {name: [] for name in steps}

    def path(name: str) -> Callable[[], None]:
        def step() -> None:
            run = len(chunks[name]) % runs
            chunks[name].append(steps[name](features[run // REUSE], windows[run]))

        return step

    taken = by_turns({name: path(name) for name in steps}, runs, _WARM_UP)
    bandwidth = cost.measured_bandwidth(device, patience)
    floor = cost.fused_expert_bytes(encoder, expert) / bandwidth
    rows = [
        *(times_row(name, seconds) for name, seconds in taken.items()),
        Row("memory bandwidth [GB/s]", f"{bandwidth / 1e9:.1f}"),
        Row("weights read a step, plain / ours [MB]", _megabytes(encoder, expert)),
    ]
    for name in there:
        least = floor * _BYTES[name] / _BYTES["float32"]
        value = f"{least * 1e3:.2f}, {median(taken[name]) / least:.2f}"
        rows.append(Row(f"{name}: floor [ms], time over it", value))
        error = max(
            float(np.abs(ours - plain).max())
            for ours, plain in zip(chunks[name], chunks["reference"], strict=True)
        )
        ratio, difference = (least_ratio, _EXACT) if name == "float32" else (None, None)
        rows.append(ratio_row(f"reference over {name}", taken, name, ratio))
        rows.append(difference_row("  largest difference of an action", error, difference))
    return [*rows, *_targets(taken, there, device)]


def _has(precision: str, device: torch.device) -> bool:
    with suppress(ModelError):  # says that the device has no float8
        check_precision(precision, device)
        return True
    return False


def _plain_step(
    encoder: SensorEncoder, expert: ActionExpert
) -> Callable[[Feature, Feature], Feature]:
    like = expert.pos_embed

    def step(features: Feature, window: Feature) -> Feature:
        vl_tokens = torch.tensor(features).to(like)
        return reference.reference_chunk(encoder, expert, vl_tokens, window).actions

    return step


def _our_step(policy: HeadsPolicy) -> Callable[[Feature, Feature], Feature]:
    return lambda features, window: policy.act(features, window).actions


def _megabytes(encoder: SensorEncoder, expert: ActionExpert) -> str:
    plain = cost.expert_bytes(encoder, expert)
    return f"{plain / 1e6:.0f} / {cost.fused_expert_bytes(encoder, expert) / 1e6:.0f}"


def _targets(taken: Timings, precisions: Sequence[str], device: torch.device) -> list[Row]:
    if device.type != "cuda":
        return [Row("on a GPU: 2 ms", "not measured")]
    capable = torch.cuda.get_device_capability(device) >= TARGET_CAPABILITY
    rows = []
    for name in precisions:
        typical = median(taken[name]) * 1e3
        kept = typical <= 2 if capable else None
        rows.append(Row(f"expert step in {name} [ms]", f"{typical:.2f}", "<= 2", kept))
    return rows

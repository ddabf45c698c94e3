"""What a computation costs, in floating-point operations and bytes, and what this machine gives.

Owns Qwen2.5-VL's widths, the formulas and the two measured rates. With them the time of a model of
few layers says what all 36 layers and 32 vision blocks would take. A multiply-add is two
operations; only matrix products and attention are counted, the rest is less than 1 %.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vla_inference_ros.model.affine import linear_layer
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder

TEXT_LAYERS, VISION_BLOCKS = 36, 32  # of Qwen2.5-VL-3B
VOCABULARY = 151_936
PATCH = 14  # pixels, both ways
MERGE = 2  # patches, both ways, that become one token
GRID = (24, 44)  # rows and columns of patches of a view
WINDOW = 112  # pixels, both ways, that a windowed vision block attends within
_PATCH_SIZE = 3 * 2 * PATCH * PATCH  # numbers of one patch: a still picture fills two frames
_FULL_EVERY = 8  # blocks, of which the last attends to the whole picture


@dataclass(frozen=True, slots=True)
class Widths:
    """A Qwen2.5-VL's sizes but for its depths; ``mrope_section`` sums to half a text head."""

    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    mrope_section: tuple[int, int, int]
    vision_hidden: int
    vision_intermediate: int
    vision_heads: int


FULL = Widths(2048, 11008, 16, 2, (16, 24, 24), 1280, 3420, 16)  # those of Qwen2.5-VL-3B-Instruct
SMALL = Widths(64, 128, 2, 1, (4, 6, 6), 32, 48, 2)  # for tests


def full_attention_blocks(blocks: int) -> list[int]:
    """Which of ``blocks`` vision blocks attend to the whole picture: every eighth, or the last.

    32 give 7, 15, 23 and 31 as in the original. Fewer than 8 have a larger share of them.
    """
    return list(range(_FULL_EVERY - 1, blocks, _FULL_EVERY)) or list(range(blocks))[-1:]


def vision_flops(
    blocks: int,
    views: int = 5,
    *,
    grid: tuple[int, int] = GRID,
    widths: Widths = FULL,
) -> int:
    """The vision tower on ``views`` pictures of ``grid`` (rows, columns) patches.

    Counts the patch embedding; each block's qkv, output and three feed-forward products, and its
    q k^T and p v within windows or the picture; and the merger's two products. With 0 blocks: the
    embedding and the merger alone.
    """
    width = widths.vision_hidden
    patches = grid[0] * grid[1]
    whole = len(full_attention_blocks(blocks))
    keys = (blocks - whole) * _window_pairs(grid) + whole * patches * patches
    merged = MERGE * MERGE * width
    weights = (
        _PATCH_SIZE * width
        + blocks * (4 * width * width + 3 * width * widths.vision_intermediate)
        + (merged * merged + merged * widths.hidden) / (MERGE * MERGE)
    )
    return views * (round(2 * patches * weights) + 4 * keys * width)


def _window_pairs(grid: tuple[int, int]) -> int:
    """Pairs of a query and a key in one picture's windows; those at its edges are smaller."""
    side = WINDOW // PATCH
    rows, columns = ([min(side, n - at) for at in range(0, n, side)] for n in grid)
    return sum((row * column) ** 2 for row in rows for column in columns)


def text_flops(layers: int, tokens: int, *, widths: Widths = FULL) -> int:
    """The text layers on one sequence, without the embedding (a look-up) and the head.

    Counts each layer's q, k, v, output and three feed-forward products, and q k^T and p v over the
    whole square of tokens: a causal kernel does half of these two, which is 3 % of a layer less.
    """
    width = widths.hidden
    kv_width = width * widths.kv_heads // widths.heads
    weights = 2 * width * width + 2 * width * kv_width + 3 * width * widths.intermediate
    return layers * (2 * tokens * weights + 4 * tokens * tokens * width)


def lm_head_flops(tokens: int, *, vocabulary: int = VOCABULARY, widths: Widths = FULL) -> int:
    """The product that gives the logits of ``tokens`` tokens."""
    return 2 * tokens * widths.hidden * vocabulary


def expert_bytes(encoder: nn.Module, expert: nn.Module) -> int:
    """What a step of the plain modules reads at batch 1: each weight once, as it is stored.

    What flows between the layers is less than 1 % of it and not counted.
    """
    parameters = [*encoder.parameters(), *expert.parameters()]
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters)


def fused_expert_bytes(encoder: SensorEncoder, expert: ActionExpert) -> int:
    """What a step of the fused heads reads in float32 with fusion ``concat``.

    Left out of :func:`expert_bytes`: the projection's last layer, which is in the fusion; the
    vision-language half of that; the first decoder layer's self-attention; and of every decoder
    layer's attention to the condition, four square matrices, all but one.
    """
    layers = len(expert.temporal_decoder.layers)
    square = expert.hidden**2
    folded = (
        linear_layer(encoder.projection[4]).weight.numel()
        + expert.vl_dim * expert.hidden
        + 4 * square
        + 3 * square * layers
    )
    return expert_bytes(encoder, expert) - 4 * folded


_MATMULS = (  # rows, in, out
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (5280, 1280, 3840),  # a vision block's qkv of five views
    (1350, 2048, 11008),  # half of a text layer's way into its feed-forward
    (4096, 4096, 4096),
    (8192, 8192, 8192),  # what a large GPU needs to be busy
)
_CALL_LIMIT = 2.0  # for one product; larger ones are left out where they would take longer [s]
_BUFFER_BYTES = 512 * 2**20  # far more than any cache
_ROUND = 0.02  # calls are timed together until they take this long [s]
_BUDGET = 0.5  # for the repetitions of one measurement [s]


def measured_matmul_rate(
    dtype: torch.dtype, device: torch.device | str, patience: float = 1.0
) -> float:
    """The best of several linear layers [FLOP/s], with torch's threads and settings as they are.

    With a ``patience`` of less than 1 large layers are left out where they take long, and the
    others are repeated less.
    """
    best = 0.0
    for rows, inputs, outputs in _MATMULS:
        flops = 2 * rows * inputs * outputs
        if best and flops / best > _CALL_LIMIT * patience:
            continue
        x = torch.randn(rows, inputs, device=device, dtype=dtype)
        weight = torch.randn(outputs, inputs, device=device, dtype=dtype)
        best = max(best, flops / best_seconds(_linear_of(x, weight), x.device, patience))
    return best


def measured_bandwidth(device: torch.device | str, patience: float = 1.0) -> float:
    """How fast memory is read [bytes/s]: the better of a sum and a matrix-vector product.

    With a ``patience`` of less than 1 they are repeated less.
    """
    matrix = torch.ones(_BUFFER_BYTES // 4 // 4096, 4096, device=device)
    vector = torch.ones(1, 4096, device=device)
    seconds = min(
        best_seconds(matrix.sum, matrix.device, patience),
        best_seconds(_linear_of(vector, matrix), matrix.device, patience),
    )
    return _BUFFER_BYTES / seconds


def _linear_of(x: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    return lambda: F.linear(x, weight)


@torch.inference_mode()
def best_seconds(function: Callable[[], object], device: torch.device, patience: float) -> float:
    """The shortest time of a call, without the first."""
    function()
    _wait_for(device)
    calls, best, end = 1, float("inf"), time.perf_counter() + _BUDGET * patience
    while time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(calls):
            function()
        _wait_for(device)
        taken = time.perf_counter() - began
        best = min(best, taken / calls)
        if taken < _ROUND:
            calls *= 2
    return best


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

"""Computes Qwen2.5-VL's vision encoder for pictures of one size, each by itself.

Owns the order of patches and windows, which transformers works out anew in every call, and the
first layer, which takes the pixels as they are. The weights are those of transformers' module.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_inference_ros.model.linear import Linear, flow_dtype, pack_linear
from vla_inference_ros.model.qwen.layers import GatedFeedForward, RmsNorm, pack, rotate
from vla_inference_ros.model.qwen.patches import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    MERGE,
    PATCH,
    PATCH_SIZE,
    PATCHES_PER_VIEW,
)

_MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, RGB in 0..1, as in Qwen's image processor
_STD = (0.26862954, 0.26130258, 0.27577711)
_UNIT = MERGE * MERGE  # patches of a merge block


class VisionEncoder:
    """Patches (views, PATCHES_PER_VIEW, PATCH_SIZE) uint8 to image tokens
    (views, TOKENS_PER_VIEW, width); any number of views may share a call.

    ``module`` is transformers' ``Qwen2_5_VisionTransformerPretrainedModel``; ``device`` and
    ``precision`` are where and how the products run.
    """

    def __init__(self, module: Any, device: torch.device, precision: str) -> None:
        config = module.config
        self._flow = flow_dtype(precision, device)
        self._embed = _first_layer(module.patch_embed.proj.weight, device)
        groups, blocks = windows(config.window_size // (MERGE * PATCH))
        patches = (_UNIT * blocks.unsqueeze(1) + torch.arange(_UNIT)).flatten()
        self._order, self._unorder = patches.to(device), torch.argsort(blocks).to(device)
        rotation = _Rotation(module.rotary_pos_emb.inv_freq, patches, device)
        whole = [(1, PATCHES_PER_VIEW)]
        windowed = [(count, _UNIT * size) for count, size in groups]
        self._blocks = [
            _Block(
                block,
                whole if index in config.fullatt_block_indexes else windowed,
                rotation,
                device,
                precision,
            )
            for index, block in enumerate(module.blocks)
        ]
        self._norm = RmsNorm(module.merger.ln_q, device, self._flow)
        self._merge_in = pack(module.merger.mlp[0], device, precision)
        self._merge_out = pack(module.merger.mlp[2], device, precision)

    def __call__(self, patches: Tensor) -> Tensor:
        """The tokens of each view, in the language model's order."""
        x = self._embed(patches.float()).to(self._flow)[:, self._order]
        for block in self._blocks:
            x = block(x)
        merged = self._norm(x).unflatten(1, (-1, _UNIT)).flatten(2)
        return self._merge_out(F.gelu(self._merge_in(merged)))[:, self._unorder]


def _first_layer(weight: Tensor, device: torch.device) -> Linear:
    """The patch embedding (out, RGB, time, row, column) for pixels 0..255 of a still picture.

    In float32 whatever the precision: it is small, and the pixels' offset must not be rounded.
    """
    still = weight.double().sum(dim=2).permute(0, 2, 3, 1)
    mean, std = (torch.tensor(value, dtype=torch.float64) for value in (_MEAN, _STD))
    scaled = (still / (255 * std)).reshape(-1, PATCH_SIZE)
    offset = -(still * (mean / std)).sum(dim=(1, 2, 3))
    return pack_linear(scaled.to(device), offset.to(device))


def windows(size: int) -> tuple[list[tuple[int, int]], Tensor]:
    """How merge blocks are grouped for attention within windows of ``size`` by ``size`` blocks.

    ``(groups, blocks)``: groups of ``(count, blocks of each)`` windows of the same size, and the
    blocks' numbers window by window, (TOKENS_PER_VIEW,) int64. At the edges windows are smaller.
    """
    numbers = torch.arange(BLOCK_ROWS * BLOCK_COLUMNS).view(BLOCK_ROWS, BLOCK_COLUMNS)
    by_size: dict[int, list[Tensor]] = {}
    for band in numbers.split(size):
        for window in band.split(size, dim=1):
            by_size.setdefault(window.numel(), []).append(window.flatten())
    groups = [(len(of_size), blocks) for blocks, of_size in by_size.items()]
    return groups, torch.cat([window for of_size in by_size.values() for window in of_size])


class _Rotation:
    """Rotary position embedding of patches' rows and columns; ``order`` holds their numbers."""

    def __init__(self, frequencies: Tensor, order: Tensor, device: torch.device) -> None:
        block, within = order // _UNIT, order % _UNIT
        row = block // BLOCK_COLUMNS * MERGE + within // MERGE
        column = block % BLOCK_COLUMNS * MERGE + within % MERGE
        angles = torch.cat([x.float().unsqueeze(1) * frequencies for x in (row, column)], dim=1)
        angles = angles.repeat(1, 2).unsqueeze(1).to(device)
        self._cos, self._sin = angles.cos(), angles.sin()

    def __call__(self, x: Tensor) -> Tensor:
        """(views, PATCHES_PER_VIEW, heads, head), turned in float32."""
        return rotate(x.float(), self._cos, self._sin).to(x.dtype)


class _Block:
    """A layer of the vision encoder; attention stays within the groups of a view's patches."""

    def __init__(
        self,
        block: Any,
        groups: list[tuple[int, int]],
        rotation: _Rotation,
        device: torch.device,
        precision: str,
    ) -> None:
        flow = flow_dtype(precision, device)
        self._groups, self._rotation, self._heads = groups, rotation, block.attn.num_heads
        self._norm_1 = RmsNorm(block.norm1, device, flow)
        self._norm_2 = RmsNorm(block.norm2, device, flow)
        self._qkv = pack(block.attn.qkv, device, precision)
        self._out = pack(block.attn.proj, device, precision)
        self._feed = GatedFeedForward(block.mlp, device, precision)

    def __call__(self, x: Tensor) -> Tensor:
        x = x + self._attend(self._norm_1(x))
        return x + self._feed(self._norm_2(x))

    def _attend(self, x: Tensor) -> Tensor:
        query, key, value = self._qkv(x).unflatten(-1, (3, self._heads, -1)).unbind(2)
        parts = [self._rotation(query), self._rotation(key), value]
        attended = []
        sizes = [count * patches for count, patches in self._groups]
        split = (part.split(sizes, dim=1) for part in parts)
        for group, *qkv in zip(self._groups, *split, strict=True):
            by_head = [part.unflatten(1, group).flatten(0, 1).transpose(1, 2) for part in qkv]
            result = F.scaled_dot_product_attention(*by_head).transpose(1, 2).flatten(2)
            attended.append(result.unflatten(0, (len(x), -1)).flatten(1, 2))
        return self._out(torch.cat(attended, dim=1))

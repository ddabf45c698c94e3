"""The layers that Qwen2.5-VL's vision encoder and language model have in common."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_inference_ros.model.linear import Linear, pack_linear

_MANY_ROWS = 1024  # about the tokens of a view or a prompt


def pack(layer: Any, device: torch.device, precision: str) -> Linear:
    """transformers' linear ``layer`` on ``device``, for many rows."""
    bias = None if layer.bias is None else layer.bias.to(device)
    return pack_linear(layer.weight.to(device), bias, precision, rows=_MANY_ROWS)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (..., head): its halves are the pairs' parts."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class RmsNorm:
    """Root-mean-square normalisation over the last axis."""

    def __init__(self, layer: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._weight = layer.weight.to(device, dtype)
        self._epsilon = layer.variance_epsilon

    def __call__(self, x: Tensor) -> Tensor:
        """(..., n), normalised."""
        return F.rms_norm(x, self._weight.shape, self._weight, self._epsilon)


class GatedFeedForward:
    """SwiGLU: ``down(silu(gate(x)) * up(x))``."""

    def __init__(self, layer: Any, device: torch.device, precision: str) -> None:
        self._gate = pack(layer.gate_proj, device, precision)
        self._up = pack(layer.up_proj, device, precision)
        self._down = pack(layer.down_proj, device, precision)

    def __call__(self, x: Tensor) -> Tensor:
        """(..., width) from the same."""
        return self._down(F.silu(self._gate(x)).mul_(self._up(x)))

"""Computes Qwen2.5-VL's language model for whole sequences, without cache, mask tensor or head.

Owns the layers' order of products. The weights are those of transformers' module.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vla_inference_ros.model.linear import flow_dtype
from vla_inference_ros.model.qwen.layers import GatedFeedForward, RmsNorm, pack, rotate


class LanguageModel:
    """Embeddings (B, S, width) of sequences to their last hidden states (B, S, width).

    ``module`` is transformers' ``Qwen2_5_VLTextModel``; ``device`` and ``precision`` are where and
    how the products run. Attention is causal, so rows added at the end change none before them.
    """

    def __init__(self, module: Any, device: torch.device, precision: str) -> None:
        self.flow = flow_dtype(precision, device)
        self._device = device
        self._frequencies = module.rotary_emb.inv_freq
        # Which of time, height and width turns each pair of numbers of a head.
        sections = torch.tensor(module.config.rope_parameters["mrope_section"])
        self._axes = torch.repeat_interleave(torch.arange(3), sections)
        self._layers = [_Layer(layer, device, precision) for layer in module.layers]
        self._norm = RmsNorm(module.norm, device, self.flow)

    def rotation(self, positions: Tensor) -> Tensor:
        """Cosine and sine (2, 1, S, head) of the rotary embedding for positions (3, S)."""
        angles = positions.float()[self._axes].T * self._frequencies
        both = angles.repeat(1, 2).unsqueeze(0)
        return torch.stack([both.cos(), both.sin()]).to(self._device, self.flow)

    def __call__(self, embeddings: Tensor, rotation: Tensor) -> Tensor:
        """The last hidden states, normalised; all sequences have the same positions."""
        x = embeddings
        for layer in self._layers:
            x = layer(x, rotation)
        return self._norm(x)


class _Layer:
    def __init__(self, layer: Any, device: torch.device, precision: str) -> None:
        attention, flow = layer.self_attn, flow_dtype(precision, device)
        self._head = attention.head_dim
        self._groups = attention.num_heads, attention.num_key_value_heads
        inside = [attention.q_proj, attention.k_proj, attention.v_proj]
        self._norm_1 = RmsNorm(layer.input_layernorm, device, flow)
        self._norm_2 = RmsNorm(layer.post_attention_layernorm, device, flow)
        self._qkv = pack(_joined(inside), device, precision)
        self._out = pack(attention.o_proj, device, precision)
        self._feed = GatedFeedForward(layer.mlp, device, precision)

    def __call__(self, x: Tensor, rotation: Tensor) -> Tensor:
        x = x + self._attend(self._norm_1(x), rotation)
        return x + self._feed(self._norm_2(x))

    def _attend(self, x: Tensor, rotation: Tensor) -> Tensor:
        heads, shared = self._groups
        by_head = self._qkv(x).unflatten(-1, (heads + 2 * shared, self._head)).transpose(1, 2)
        turned, value = by_head.split([heads + shared, shared], dim=1)
        query, key = rotate(turned, rotation[0], rotation[1]).split([heads, shared], dim=1)
        if x.dtype == torch.float32 and x.is_cuda:  # no fused kernel shares keys in float32
            key, value = (part.repeat_interleave(heads // shared, dim=1) for part in (key, value))
        attended = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        return self._out(attended.transpose(1, 2).flatten(2))


def _joined(layers: list[nn.Linear]) -> nn.Linear:
    """One layer to the outputs of all."""
    with torch.device("meta"):
        joined = nn.Linear(layers[0].in_features, sum(layer.out_features for layer in layers))
    joined.weight = nn.Parameter(torch.cat([layer.weight for layer in layers]), False)
    joined.bias = nn.Parameter(torch.cat([layer.bias for layer in layers]), False)
    return joined

"""The four ways to make one condition token of vision-language and sensor features, fused.

Each splits into what depends on the vision-language features alone (``prepare``, once for an update
of them) and the rest (``condition``, at every step). The sensor enters as the encoder's ``hidden``
(1, O): its last layer is a linear map, so it goes into the layer behind it.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_inference_ros.model.affine import Affine, linear_layer
from vla_inference_ros.model.heads import ActionExpert


class Fusion(Protocol):
    """Makes the condition token; ``heads.ActionExpert`` defines it."""

    reads_sensor: bool

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        """What :meth:`condition` needs of vl_tokens (S, V)."""

    def condition(self, hidden: Tensor, *prepared: Tensor) -> Tensor:
        """(1, width) from the encoder's ``hidden`` (1, O)."""


def fuse(expert: ActionExpert, projection: Affine, precision: str) -> Fusion:
    """The expert's fusion; ``projection`` is the sensor encoder's last layer."""
    fusions: dict[str, type[_Concat | _CrossAttention | _Gated | _VisionOnly]] = {
        "concat": _Concat,
        "cross_attention": _CrossAttention,
        "gated": _Gated,
        "none": _VisionOnly,
    }
    return fusions[expert.fusion](expert, projection, precision)


class _VisionOnly:
    reads_sensor = False

    def __init__(self, expert: ActionExpert, _: Affine, precision: str) -> None:
        self._fuse = Affine.of(expert.fusion_proj).pack(precision)

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        return (self._fuse(vl_tokens.mean(dim=0, keepdim=True)),)

    def condition(self, hidden: Tensor, *prepared: Tensor) -> Tensor:
        return prepared[0]


class _Concat:
    reads_sensor = True

    def __init__(self, expert: ActionExpert, projection: Affine, precision: str) -> None:
        vl, sensor = Affine.of(expert.fusion_proj).split_inputs(expert.vl_dim)
        self._vl = vl.pack(precision)
        self._sensor = sensor.after(projection).pack(precision)

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        return (self._vl(vl_tokens.mean(dim=0, keepdim=True)),)

    def condition(self, hidden: Tensor, *prepared: Tensor) -> Tensor:
        return prepared[0] + self._sensor(hidden)


class _Gated:
    reads_sensor = True

    def __init__(self, expert: ActionExpert, projection: Affine, precision: str) -> None:
        gate_vl, gate_sensor = Affine.of(linear_layer(expert.gate[0])).split_inputs(expert.hidden)
        self._vl = Affine.of(expert.vl_proj).pack(precision)
        self._gate_vl = gate_vl.pack(precision)
        self._sensor = Affine.of(expert.sensor_proj).after(projection).pack(precision)
        self._gate_sensor = gate_sensor.pack(precision)
        self._fuse = Affine.of(expert.fusion_proj).pack(precision)

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        vl = self._vl(vl_tokens.mean(dim=0, keepdim=True))
        return vl, self._gate_vl(vl)

    def condition(self, hidden: Tensor, *prepared: Tensor) -> Tensor:
        vl, gate_vl = prepared
        sensor = self._sensor(hidden)
        gate = torch.sigmoid(gate_vl + self._gate_sensor(sensor))
        return self._fuse(torch.lerp(sensor, vl, gate))


class _CrossAttention:
    reads_sensor = True

    def __init__(self, expert: ActionExpert, projection: Affine, precision: str) -> None:
        attention, width = expert.cross_attn, expert.hidden
        inside = Affine.into(attention)
        sensor = Affine.of(expert.sensor_proj).after(projection)
        out = Affine.of(expert.fusion_proj).after(Affine.of(attention.out_proj))
        self._heads = attention.num_heads
        self._query = inside.outputs(0, width).after(sensor).pack(precision)
        self._keys_and_values = (
            inside.outputs(width, 3 * width).after(Affine.of(expert.vl_proj)).pack(precision)
        )
        self._out = out.pack(precision)

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        return tuple(map(self._by_head, self._keys_and_values(vl_tokens).chunk(2, dim=-1)))

    def condition(self, hidden: Tensor, *prepared: Tensor) -> Tensor:
        keys, values = prepared
        query = self._by_head(self._query(hidden))
        attended = F.scaled_dot_product_attention(query, keys, values)
        return self._out(attended.transpose(1, 2).flatten(2)[0])

    def _by_head(self, x: Tensor) -> Tensor:
        """(1, heads, rows, width / heads) of (rows, width)."""
        return x.unflatten(-1, (self._heads, -1)).transpose(0, 1).unsqueeze(0)

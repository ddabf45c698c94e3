"""Products of linear maps, made once at the start so that a step has fewer weights to read.

Owns the algebra, in float64 so that it is exact to float32. Does not own what is folded where.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_inference_ros.model.linear import Linear, pack_linear


def linear_layer(module: nn.Module) -> nn.Linear:
    """A member of a sequence, of which only the reader knows that it is linear."""
    assert isinstance(module, nn.Linear)
    return module


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """A linear map with an offset: ``weight`` (out, in) and ``bias`` (out,), float64."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, layer: nn.Linear) -> Affine:
        """A linear layer's map."""
        return cls(layer.weight.double(), layer.bias.double())

    @classmethod
    def into(cls, attention: nn.MultiheadAttention) -> Affine:
        """The map to queries, keys and values, each as wide as the input, in this order."""
        return cls(attention.in_proj_weight.double(), attention.in_proj_bias.double())

    @classmethod
    def of_convolution(cls, convolution: nn.Conv1d, normalisation: nn.BatchNorm1d) -> Affine:
        """A convolution and its batch normalisation in eval mode, for a row of (kernel, in)."""
        if normalisation.running_mean is None or normalisation.running_var is None:
            raise ValueError("batch normalisation without running statistics cannot be folded")
        deviation = (normalisation.running_var.double() + normalisation.eps).sqrt()
        scale = normalisation.weight.double() / deviation
        offset = normalisation.bias.double() - normalisation.running_mean.double() * scale
        weight = convolution.weight.double().transpose(1, 2).flatten(1) * scale.unsqueeze(1)
        if convolution.bias is not None:
            offset = offset + convolution.bias.double() * scale
        return cls(weight, offset)

    @classmethod
    def stacked(cls, maps: list[Affine]) -> Affine:
        """One map to the outputs of all."""
        return cls(torch.cat([map_.weight for map_ in maps]), torch.cat([m.bias for m in maps]))

    def after(self, inner: Affine) -> Affine:
        """The map that is ``inner`` first and then this one."""
        return Affine(self.weight @ inner.weight, self.weight @ inner.bias + self.bias)

    def outputs(self, first: int, last: int) -> Affine:
        """The map to some of the outputs."""
        return Affine(self.weight[first:last], self.bias[first:last])

    def split_inputs(self, at: int) -> tuple[Affine, Affine]:
        """The maps from the first ``at`` inputs and from the others, whose sum this one is.

        The offset is the first one's.
        """
        first = Affine(self.weight[:, :at], self.bias)
        return first, Affine(self.weight[:, at:], torch.zeros_like(self.bias))

    def pack(self, precision: str, rows: int = 1) -> Linear:
        """The map as a layer that runs; ``rows`` is about how many rows an input has."""
        return pack_linear(self.weight, self.bias, precision, rows=rows)

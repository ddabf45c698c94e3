"""Computes what ``heads`` defines with a quarter fewer weights to read.

A step at batch 1 takes as long as its weights take to be read. What does not depend on the input is
therefore multiplied out once, at the start; all of it is exact:

- batch normalisation goes into the convolutions, and these become products of three rows at a time;
- the mean over time goes through the transformer's last product, which is then of one row;
- the projection's last layer goes into the layer behind it, in the expert's fusion;
- attention to a single condition token is a linear map, since softmax over one key is 1;
- the first decoder layer's self-attention sees only learned queries, so its result is a constant;
- what depends on vision-language features alone is computed once for an update of them.

Does not own the layers' definition (``heads``), the fusions or the precision of the weights.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from vla_inference_ros.model.affine import Affine, linear_layer
from vla_inference_ros.model.fusion import fuse
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder

_STRIDE, _PADDING = 2, 1  # of the convolutions, whose kernel is three rows


class FusedHeads:
    """A sensor encoder and an action expert in eval mode, as one function. z_chunk is zero.

    ``precision`` is the weights', one of ``linear.PRECISIONS``; all else is float32.
    """

    def __init__(self, encoder: SensorEncoder, expert: ActionExpert, precision: str) -> None:
        self._encode = _Encoder(encoder, precision)
        self._fusion = fuse(expert, Affine.of(linear_layer(encoder.projection[4])), precision)
        self._decode = _Decoder(expert, precision)

    def prepare(self, vl_tokens: Tensor) -> tuple[Tensor, ...]:
        """What :meth:`step` needs of vl_tokens (S, V)."""
        return self._fusion.prepare(vl_tokens)

    def step(self, samples: Tensor, *prepared: Tensor) -> Tensor:
        """delta (horizon, action_dim) from samples (window, channels)."""
        hidden = self._encode(samples) if self._fusion.reads_sensor else samples
        return self._decode(self._fusion.condition(hidden, *prepared))


class _Encoder:
    """Samples (window, channels) to ``hidden`` (1, output), before the projection's last layer."""

    def __init__(self, encoder: SensorEncoder, precision: str) -> None:
        rows = encoder.window
        modules = list(encoder.conv_backbone)
        self._convolutions = []
        for convolution, normalisation in zip(modules[0::4], modules[1::4], strict=True):
            assert isinstance(convolution, nn.Conv1d)
            assert isinstance(normalisation, nn.BatchNorm1d)
            rows = (rows - 1) // _STRIDE + 1
            folded = Affine.of_convolution(convolution, normalisation)
            self._convolutions.append(folded.pack(precision, rows))
        layers = list(encoder.transformer.layers)
        self._layers = [_EncoderLayer(layer, precision, rows, rows) for layer in layers[:-1]]
        self._last = _EncoderLayer(layers[-1], precision, rows, 1)
        self._project = Affine.of(linear_layer(encoder.projection[0])).pack(precision)
        self._norm = _Norm(encoder.projection[1])

    def __call__(self, samples: Tensor) -> Tensor:
        x = samples
        for convolve in self._convolutions:
            x = F.gelu(convolve(_threes(x)))
        for layer in self._layers:
            x, inner = layer(x)
            x = x + layer.feed_out(inner)
        x, inner = self._last(x)
        mean = x.mean(dim=0, keepdim=True)
        mean = mean + self._last.feed_out(inner.mean(dim=0, keepdim=True))
        return F.gelu(self._norm(self._project(mean)))


def _threes(x: Tensor) -> Tensor:
    """Rows that a convolution takes together, (rows_out, 3 * channels) of (rows, channels)."""
    channels = x.shape[1]
    padded = F.pad(x, (0, 0, _PADDING, _PADDING))
    rows = (x.shape[0] - 1) // _STRIDE + 1
    return padded.as_strided((rows, 3 * channels), (_STRIDE * channels, 1)).contiguous()


class _EncoderLayer:
    """A pre-norm layer: its output is ``x + feed_out(inner)`` of what a call returns."""

    def __init__(self, layer: nn.Module, precision: str, rows: int, out_rows: int) -> None:
        assert isinstance(layer, nn.TransformerEncoderLayer)
        self._norm_1, self._norm_2 = _Norm(layer.norm1), _Norm(layer.norm2)
        self._attend = _SelfAttention(layer.self_attn, precision, rows)
        self._feed_in = Affine.of(layer.linear1).pack(precision, rows)
        self.feed_out = Affine.of(layer.linear2).pack(precision, out_rows)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self._attend(self._norm_1(x))
        return x, F.relu(self._feed_in(self._norm_2(x)))


class _Decoder:
    """The condition token (1, width) to delta (horizon, action_dim)."""

    def __init__(self, expert: ActionExpert, precision: str) -> None:
        queries = expert.pos_embed[0].float()
        rows = queries.shape[0]
        layers = list(expert.temporal_decoder.layers)
        first = layers[0]
        self._constant = _Norm(first.norm1)(
            queries + _SelfAttention(first.self_attn, "float32", rows)(queries)
        )
        self._from_condition = Affine.stacked([_to_one_key(layer) for layer in layers]).pack(
            precision
        )
        self._first = _DecoderLayer(first, precision, rows)
        self._others = [
            (_Norm(layer.norm1), _SelfAttention(layer.self_attn, precision, rows),
             _DecoderLayer(layer, precision, rows))
            for layer in layers[1:]
        ]  # fmt: skip
        self._norm = _Norm(expert.output_head[0])
        self._out = Affine.of(linear_layer(expert.output_head[1])).pack("float32", rows)

    def __call__(self, condition: Tensor) -> Tensor:
        attended = self._from_condition(condition).view(len(self._others) + 1, -1)
        x = self._first(self._constant, attended[0])
        for (norm, attend, layer), seen in zip(self._others, attended[1:], strict=True):
            x = layer(norm(x + attend(x)), seen)
        return self._out(self._norm(x))


def _to_one_key(layer: nn.Module) -> Affine:
    """A decoder layer's attention to the condition token."""
    assert isinstance(layer, nn.TransformerDecoderLayer)
    attention = layer.multihead_attn
    values = Affine.into(attention).outputs(2 * attention.embed_dim, 3 * attention.embed_dim)
    return Affine.of(attention.out_proj).after(values)


class _DecoderLayer:
    """A post-norm layer behind its self-attention."""

    def __init__(self, layer: nn.TransformerDecoderLayer, precision: str, rows: int) -> None:
        self._norm_2, self._norm_3 = _Norm(layer.norm2), _Norm(layer.norm3)
        self._feed_in = Affine.of(layer.linear1).pack(precision, rows)
        self._feed_out = Affine.of(layer.linear2).pack(precision, rows)

    def __call__(self, x: Tensor, seen: Tensor) -> Tensor:
        x = self._norm_2(x + seen)
        return self._norm_3(x + self._feed_out(F.relu(self._feed_in(x))))


class _SelfAttention:
    """Multi-head self-attention of (rows, width)."""

    def __init__(self, layer: nn.MultiheadAttention, precision: str, rows: int) -> None:
        self._heads = layer.num_heads
        self._inside = Affine.into(layer).pack(precision, rows)
        self._out = Affine.of(layer.out_proj).pack(precision, rows)

    def __call__(self, x: Tensor) -> Tensor:
        qkv = self._inside(x).unflatten(-1, (3, 1, self._heads, -1)).permute(1, 2, 3, 0, 4)
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        return self._out(attended[0].transpose(0, 1).flatten(1))


class _Norm:
    """Layer normalisation over the last axis, in float32."""

    def __init__(self, layer: nn.Module) -> None:
        assert isinstance(layer, nn.LayerNorm)
        self._weight, self._bias = layer.weight.float(), layer.bias.float()
        self._epsilon = layer.eps

    def __call__(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self._weight.shape, self._weight, self._bias, self._epsilon)

"""The two networks that are trained for this rig: the sensor encoder and the action expert.

Owns their layers, whose names are those in existing checkpoints. Does not own loading or running.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FUSIONS = ("concat", "cross_attention", "gated", "none")
_DROPOUT = 0.1  # for training only; no part of a checkpoint


class SensorEncoder(nn.Module):
    """Turns a window of sensor samples into one feature: convolutions, self-attention, projection.

    ``channels`` is the width of a sample, ``window`` the samples that it was trained on, ``hidden``
    the first block's width (the later ones have twice that) and ``output`` the feature's.
    """

    def __init__(self, *, channels: int, window: int, hidden: int, output: int) -> None:
        super().__init__()
        width = 2 * hidden
        self.channels = channels
        self.window = window
        self.output = output
        self.conv_backbone = nn.Sequential(
            *_conv_block(channels, hidden),
            *_conv_block(hidden, width),
            *_conv_block(width, width),
            *_conv_block(width, width),
        )
        self.transformer = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                width, nhead=8, dim_feedforward=4 * width, batch_first=True, norm_first=True
            ),
            num_layers=2,
            enable_nested_tensor=False,  # not for pre-norm layers; silences the warning
        )
        self.projection = nn.Sequential(
            nn.Linear(width, output),
            nn.LayerNorm(output),
            nn.GELU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(output, output),
        )

    def forward(self, samples: Tensor) -> Tensor:
        """(B, output) from samples (B, T, channels); T other than ``window`` is interpolated."""
        signal = samples.transpose(1, 2)
        if signal.shape[-1] != self.window:
            signal = F.interpolate(signal, size=self.window, mode="linear", align_corners=False)
        steps = self.conv_backbone(signal).transpose(1, 2)
        feature: Tensor = self.projection(self.transformer(steps).mean(dim=1))
        return feature


def _conv_block(channels_in: int, channels_out: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv1d(channels_in, channels_out, kernel_size=3, stride=2, padding=1),
        nn.BatchNorm1d(channels_out),
        nn.GELU(),
        nn.Dropout(_DROPOUT),
    )


class ActionExpert(nn.Module):
    """Turns vision-language features and a sensor feature into an action chunk.

    One of :data:`FUSIONS` makes a single condition token of the two, against which a decoder runs
    one learned query per step. ``none`` leaves the sensor out.
    """

    def __init__(
        self,
        *,
        vl_dim: int,
        sensor_dim: int,
        hidden: int,
        horizon: int,
        action_dim: int,
        fusion: str = "concat",
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"fusion {fusion!r} is none of {', '.join(FUSIONS)}")
        self.vl_dim = vl_dim
        self.sensor_dim = sensor_dim
        self.hidden = hidden
        self.horizon = horizon
        self.action_dim = action_dim
        self.fusion = fusion
        if fusion in ("cross_attention", "gated"):
            self.vl_proj = nn.Linear(vl_dim, hidden)
            self.sensor_proj = nn.Linear(sensor_dim, hidden)
        if fusion == "cross_attention":
            self.cross_attn = nn.MultiheadAttention(hidden, num_heads=8, batch_first=True)
        if fusion == "gated":
            self.gate = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.Sigmoid())
        fused = {"concat": vl_dim + sensor_dim, "none": vl_dim}.get(fusion, hidden)
        self.fusion_proj = nn.Linear(fused, hidden)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, horizon, hidden))
        self.temporal_decoder = nn.TransformerDecoder(
            nn.TransformerDecoderLayer(
                hidden, nhead=8, dim_feedforward=4 * hidden, batch_first=True
            ),
            num_layers=4,
        )
        self.output_head = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, action_dim))

    def forward(
        self, vl_tokens: Tensor, sensor_feature: Tensor | None, z_chunk: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """``(actions, delta)``, both (B, horizon, action_dim); actions = z_chunk + delta.

        Takes vl_tokens (B, S, vl_dim), sensor_feature (B, sensor_dim), which only fusion ``none``
        does without, and z_chunk like the result, or None for zero.
        """
        condition = self.fusion_proj(self._fuse(vl_tokens, sensor_feature)).unsqueeze(1)
        queries = self.pos_embed.expand(condition.shape[0], -1, -1)
        delta: Tensor = self.output_head(self.temporal_decoder(queries, condition))
        return (delta if z_chunk is None else z_chunk + delta), delta

    def _fuse(self, vl_tokens: Tensor, sensor_feature: Tensor | None) -> Tensor:
        if self.fusion == "none":
            return vl_tokens.mean(dim=1)
        if sensor_feature is None:
            raise ValueError(f"fusion {self.fusion!r} needs a sensor feature")
        if self.fusion == "cross_attention":
            keys = self.vl_proj(vl_tokens)
            query = self.sensor_proj(sensor_feature).unsqueeze(1)
            attended: Tensor = self.cross_attn(query, keys, keys, need_weights=False)[0]
            return attended.squeeze(1)
        vl_mean = vl_tokens.mean(dim=1)
        if self.fusion == "concat":
            return torch.cat([vl_mean, sensor_feature], dim=-1)
        vl: Tensor = self.vl_proj(vl_mean)
        sensor: Tensor = self.sensor_proj(sensor_feature)
        gate: Tensor = self.gate(torch.cat([vl, sensor], dim=-1))
        return gate * vl + (1 - gate) * sensor

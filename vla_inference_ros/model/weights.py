"""Makes the heads from their state dicts.

Owns the sizes, which are those of the tensors, the check that everything fits, and the precision.
Does not own where the state dicts come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.state_file import all_finite, listed

_HEADS = 8  # of every attention
_UNUSED = ".num_batches_tracked"  # only counts in training; some conversions drop it


def encoder_from(
    state: Mapping[str, Any], window: int, device: str | torch.device, dtype: torch.dtype
) -> SensorEncoder:
    """The sensor encoder with copies of the tensors. Raises :class:`ModelError` for any misfit."""
    hidden, channels, _ = _shape("sensor_encoder", state, "conv_backbone.0.weight", 3)
    output, _ = _shape("sensor_encoder", state, "projection.0.weight", 2)
    _check_width("sensor_encoder", 2 * hidden)
    with torch.device("meta"):
        encoder = SensorEncoder(channels=channels, window=window, hidden=hidden, output=output)
    encoder.load_state_dict(_fit("sensor_encoder", encoder, state, device, dtype), assign=True)
    return encoder


def expert_from(
    state: Mapping[str, Any],
    fusion: str,
    sensor_dim: int,
    device: str | torch.device,
    dtype: torch.dtype,
) -> ActionExpert:
    """The action expert with copies of the tensors, for an encoder that gives ``sensor_dim``.

    Raises :class:`ModelError` for any misfit, also of the fusion.
    """
    fused = _shape("action_expert", state, "fusion_proj.weight", 2)[1]
    _refuse_other_fusion(state, fusion, fused, sensor_dim)
    _, horizon, hidden = _shape("action_expert", state, "pos_embed", 3)
    action_dim, _ = _shape("action_expert", state, "output_head.1.weight", 2)
    _check_width("action_expert", hidden)
    if fusion in ("cross_attention", "gated"):
        vl_dim = _shape("action_expert", state, "vl_proj.weight", 2)[1]
        takes = _shape("action_expert", state, "sensor_proj.weight", 2)[1]
        if takes != sensor_dim:
            raise ModelError(
                f"the sensor encoder gives {sensor_dim} numbers, the action expert takes {takes}: "
                "they are not from one training run"
            )
    else:
        vl_dim = fused - sensor_dim if fusion == "concat" else fused
    with torch.device("meta"):
        expert = ActionExpert(
            vl_dim=vl_dim,
            sensor_dim=sensor_dim,
            hidden=hidden,
            horizon=horizon,
            action_dim=action_dim,
            fusion=fusion,
        )
    expert.load_state_dict(_fit("action_expert", expert, state, device, dtype), assign=True)
    return expert


def _refuse_other_fusion(
    state: Mapping[str, Any], fusion: str, fused: int, sensor_dim: int
) -> None:
    groups = {name.partition(".")[0] for name in state}
    looks: tuple[str, ...]
    if "cross_attn" in groups:
        looks = ("cross_attention",)
    elif "gate" in groups:
        looks = ("gated",)
    elif "vl_proj" in groups:
        return  # of a damaged state dict; its missing keys will be named
    elif fused <= sensor_dim:
        looks = ("none",)
    else:
        looks = ("concat", "none")
    if fusion not in looks:
        raise ModelError(
            f"fusion_strategy is {fusion!r}, but the action expert's keys and sizes are those of "
            f"{' or '.join(map(repr, looks))} (fusion_proj takes {fused} numbers, the sensor "
            f"encoder gives {sensor_dim})"
        )


def _shape(part: str, state: Mapping[str, Any], name: str, dimensions: int) -> tuple[int, ...]:
    tensor = state.get(name)
    if tensor is None:
        raise ModelError(f"{part} has no {name}, which gives its sizes")
    if not isinstance(tensor, Tensor) or tensor.ndim != dimensions:
        raise ModelError(f"{part}.{name} is {_describe(tensor)}, not of {dimensions} dimensions")
    return tuple(tensor.shape)


def _check_width(part: str, width: int) -> None:
    if width < 1 or width % _HEADS:
        raise ModelError(f"{part} is {width} wide, not a multiple of its {_HEADS} attention heads")


def _fit(
    part: str,
    module: nn.Module,
    state: Mapping[str, Any],
    device: str | torch.device,
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Copies of all tensors that the module takes, in ``dtype``; what does not fit is raised."""
    expected = module.state_dict()
    unused = {name for name in expected if name.endswith(_UNUSED)} - set(state)
    problems = []
    if missing := [name for name in expected if name not in state and name not in unused]:
        problems.append(f"lacks {listed(missing)}")
    if unexpected := [name for name in state if name not in expected]:
        problems.append(f"has keys of no layer: {listed(unexpected)}")
    wrong = [
        f"{name} is {_describe(state[name])}, not {_describe(like)}"
        for name, like in expected.items()
        if name in state and not _is_like(state[name], like)
    ]
    if wrong:
        problems.append(f"has tensors that do not fit: {listed(wrong)}")
    if problems:
        raise ModelError(f"{part} " + "; it ".join(problems))
    fitted = {
        name: torch.zeros_like(like, device=device)
        if name in unused
        else _copy(state[name], device, dtype if like.is_floating_point() else like.dtype)
        for name, like in expected.items()
    }
    if broken := [name for name, tensor in fitted.items() if not all_finite(tensor)]:
        raise ModelError(f"{part} has NaN or infinite numbers, read as {dtype}: {listed(broken)}")
    return fitted


def _copy(tensor: Tensor, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(device, dtype, copy=True, memory_format=torch.contiguous_format)


def _is_like(value: object, like: Tensor) -> bool:
    return (
        isinstance(value, Tensor)
        and value.shape == like.shape
        and value.is_floating_point() == like.is_floating_point()
        and not _is_eight_bit(value)
        and value.layout == torch.strided
        and not value.is_meta
    )


def _describe(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    plain = value.is_floating_point() and not _is_eight_bit(value)
    return f"{tuple(value.shape)} {'floating point' if plain else value.dtype}"


def _is_eight_bit(tensor: Tensor) -> bool:
    """Whether it is quantised, by a scale that is not in it."""
    return tensor.is_floating_point() and tensor.element_size() < 2

"""Loads the sensor encoder and the action expert from a checkpoint of the training code.

Owns the use of the loaded heads. Does not own how files are read and sorted, what fits, nor what
becomes of a vision-language model's tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import torch
from torch import Tensor

from vla_inference_ros.model.heads import FUSIONS, ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import SENSOR_WINDOW, ModelError
from vla_inference_ros.model.parts import Form, Parts, read_parts
from vla_inference_ros.model.state_file import listed
from vla_inference_ros.model.weights import encoder_from, expert_from

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@dataclass(frozen=True, slots=True)
class StateReport:
    """What became of a checkpoint's entries.

    ``shape`` and ``misnamed`` are the form and what :class:`Parts` says of the file; ``loaded`` are
    the tensors in use, ``missing`` those that a run does not need, ``ignored`` the entries that are
    not the heads'.
    """

    shape: Form
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]
    misnamed: str


class PolicyHeads:
    """A sensor encoder and an action expert in eval mode, on one device and in one precision."""

    def __init__(
        self, encoder: SensorEncoder, expert: ActionExpert, state_report: StateReport
    ) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.expert = expert.eval().requires_grad_(False)
        self.state_report = state_report

    @torch.inference_mode()
    def sensor_features(self, sensor: Tensor) -> Tensor:
        """(B, O) from samples (B, T, C) of any T >= 1. Raises :class:`ModelError` for others."""
        channels = self.encoder.channels
        if sensor.ndim != 3 or sensor.shape[1] < 1 or sensor.shape[2] != channels:
            raise ModelError(
                f"the sensor input is {tuple(sensor.shape)}, the checkpoint takes (B, T, "
                f"{channels}): is the sender's A-scan length right?"
            )
        features: Tensor = self.encoder(self._own(sensor))
        return features

    @torch.inference_mode()
    def predict(
        self,
        vl_tokens: Tensor,
        z_chunk: Tensor | None = None,
        sensor_features: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``(actions, delta)``, both (B, horizon, action_dim).

        Takes vl_tokens (B, S, V), z_chunk like the result (None is zero) and sensor_features
        (B, O), which only fusion ``none`` does without. Raises :class:`ModelError` for others.
        """
        expert = self.expert
        if vl_tokens.ndim != 3 or vl_tokens.shape[1] < 1 or vl_tokens.shape[2] != expert.vl_dim:
            raise ModelError(
                f"the vision-language tokens are {tuple(vl_tokens.shape)}, the checkpoint with "
                f"fusion {expert.fusion!r} takes (B, S, {expert.vl_dim}): are the fusion and the "
                "model those it was trained with?"
            )
        batch = vl_tokens.shape[0]
        if sensor_features is None and expert.fusion != "none":
            raise ModelError(
                f"fusion {expert.fusion!r} needs sensor features: only 'none' does without"
            )
        for name, tensor, shape in (
            ("the sensor features are", sensor_features, (batch, expert.sensor_dim)),
            ("z_chunk is", z_chunk, (batch, expert.horizon, expert.action_dim)),
        ):
            if tensor is not None and tuple(tensor.shape) != shape:
                raise ModelError(f"{name} {tuple(tensor.shape)}, the checkpoint takes {shape}")
        actions, delta = expert(
            self._own(vl_tokens),
            None if sensor_features is None else self._own(sensor_features),
            None if z_chunk is None else self._own(z_chunk),
        )
        return actions, delta

    def _own(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.expert.pos_embed)


def load_policy_heads(
    path: str | PathLike[str],
    fusion_strategy: str = "concat",
    temporal_length: int = SENSOR_WINDOW,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> PolicyHeads:
    """The heads of a checkpoint; all sizes are those of its tensors.

    ``temporal_length`` is the number of samples that the encoder was trained on; ``dtype`` is
    float32, bfloat16, float16 or float64. The file is not needed afterwards. Where a network is
    both in ``model_state_dict`` and in a dict of its own, the former is used. Raises
    :class:`ModelError`, also for weights of another fusion; only ``concat`` and ``none`` cannot
    always be told apart: then the wrong one shows in the size V of the tokens.
    """
    if fusion_strategy not in FUSIONS:
        raise ModelError(f"fusion_strategy {fusion_strategy!r} is none of {', '.join(FUSIONS)}")
    if temporal_length < 1:
        raise ModelError(f"temporal_length is {temporal_length}, not 1 or more samples")
    if dtype not in _DTYPES:
        raise ModelError(f"dtype {dtype} is none of {', '.join(map(str, _DTYPES))}")
    found = read_parts(path)
    for part in ("sensor_encoder", "action_expert"):
        if not found.states[part]:
            unused = f"; not used: {listed(found.ignored)}" if found.ignored else ""
            raise ModelError(
                f"checkpoint {path} has no {part}: its top-level keys are {listed(found.names)}"
                + unused
            )
    encoder_state, expert_state = found.states["sensor_encoder"], found.states["action_expert"]
    try:
        encoder = encoder_from(encoder_state, temporal_length, device, dtype)
        expert = expert_from(expert_state, fusion_strategy, encoder.output, device, dtype)
    except ModelError as error:
        raise ModelError(f"checkpoint {path}: {error}") from error
    return PolicyHeads(encoder, expert, _report(found, encoder, expert))


def load_vl_state(path: str | PathLike[str]) -> dict[str, Tensor]:
    """The vision-language model's tensors of a checkpoint, {} if it has none.

    ``vl_model.`` and what wrappers of training add are taken off their names; a file of such a
    model alone may be without the former. They stay in the file until they are read, where
    :func:`read_state_file` says so. Raises :class:`ModelError`.
    """
    return vl_state_of(read_parts(path))


def vl_state_of(parts: Parts) -> dict[str, Tensor]:
    """:func:`load_vl_state` of a file that is read already."""
    state = parts.states["vl_model"]
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                f"checkpoint {parts.path}: vl_model.{name} is a {type(tensor).__name__}, not a "
                "tensor"
            )
    return {name: tensor.detach() for name, tensor in state.items()}


def _report(found: Parts, encoder: SensorEncoder, expert: ActionExpert) -> StateReport:
    loaded: list[str] = []
    missing: list[str] = []
    for part, module in (("sensor_encoder", encoder), ("action_expert", expert)):
        for name in module.state_dict():
            (loaded if name in found.states[part] else missing).append(f"{part}.{name}")
    ignored = [*found.ignored]
    if vl_state := found.states["vl_model"]:
        ignored.append(f"vl_model.* ({len(vl_state)} tensors)")
    return StateReport(found.form, tuple(loaded), tuple(missing), tuple(ignored), found.misnamed)

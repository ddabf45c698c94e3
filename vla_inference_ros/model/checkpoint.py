"""Loads the sensor encoder and the action expert from a checkpoint of the training code.

Owns the three forms of checkpoints and the use of the loaded heads. Does not own how files are
read, what fits, nor what becomes of a vision-language model's tensors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import torch
from torch import Tensor

from vla_inference_ros.model.heads import FUSIONS, ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import SENSOR_WINDOW, ModelError
from vla_inference_ros.model.state_file import listed, read_state_file
from vla_inference_ros.model.weights import encoder_from, expert_from

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
_PARTS = ("sensor_encoder", "action_expert", "vl_model")

Form = Literal["stage1", "full", "bare"]


@dataclass(frozen=True, slots=True)
class StateReport:
    """What became of a checkpoint's entries.

    ``shape`` is the form: ``stage1`` has one dict per network, ``full`` has them in
    ``model_state_dict``, ``bare`` is that state dict itself. ``loaded`` are the tensors in use,
    ``missing`` those that a run does not need, ``ignored`` the entries that are not the heads'.
    """

    shape: Form
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    ignored: tuple[str, ...]


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
    found = _read_parts(path)
    for part in ("sensor_encoder", "action_expert"):
        if not found.states[part]:
            raise ModelError(
                f"checkpoint {path} has no {part}: its top-level keys are {listed(found.names)}"
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

    ``module.`` and ``vl_model.`` are taken off their names. They stay in the file until they are
    read, where :func:`read_state_file` says so. Raises :class:`ModelError`.
    """
    state = _read_parts(path).states["vl_model"]
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise ModelError(
                f"checkpoint {path}: vl_model.{name} is a {type(tensor).__name__}, not a tensor"
            )
    return {name: tensor.detach() for name, tensor in state.items()}


@dataclass(slots=True)
class _Parts:
    """A checkpoint's entries by network: of each, the values by their name in it."""

    form: Form
    names: tuple[str, ...]  # at the top level
    states: dict[str, dict[str, Any]]
    ignored: list[str]


def _read_parts(path: str | PathLike[str]) -> _Parts:
    top = read_state_file(path)
    found = _Parts("bare", tuple(top), {part: {} for part in _PARTS}, [])
    inner = top.get("model_state_dict")
    if isinstance(inner, Mapping):
        found.form = "full"
        del top["model_state_dict"]
        _sort(path, found, inner)
    for key in list(top):
        part = key.removeprefix("module.")
        if part not in _PARTS or not isinstance(top[key], Mapping):
            continue
        own = top.pop(key)
        if found.states[part]:
            found.ignored.append(f"{key} (in model_state_dict too)")
            continue
        if found.form == "bare":
            found.form = "stage1"
        for name, value in own.items():
            _put(path, found.states[part], str(name), value)
    _sort(path, found, top)
    return found


def _sort(path: str | PathLike[str], found: _Parts, entries: Mapping[Any, Any]) -> None:
    """Give each entry to the network in its name; those of none are ignored, by group."""
    others: Counter[str] = Counter()
    for key, value in entries.items():
        name = str(key).removeprefix("module.")
        group, dot, rest = name.partition(".")
        if not dot:
            found.ignored.append(name)
        elif group in _PARTS:
            _put(path, found.states[group], rest, value)
        else:
            others[group] += 1
    found.ignored += [f"{group}.* ({count} tensors)" for group, count in others.items()]


def _put(path: str | PathLike[str], state: dict[str, Any], key: str, value: object) -> None:
    name = key.removeprefix("module.")
    if name in state:
        raise ModelError(f"checkpoint {path} has {name} twice: save one of the two")
    state[name] = value


def _report(found: _Parts, encoder: SensorEncoder, expert: ActionExpert) -> StateReport:
    loaded: list[str] = []
    missing: list[str] = []
    for part, module in (("sensor_encoder", encoder), ("action_expert", expert)):
        for name in module.state_dict():
            (loaded if name in found.states[part] else missing).append(f"{part}.{name}")
    ignored = [*found.ignored]
    if vl_state := found.states["vl_model"]:
        ignored.append(f"vl_model.* ({len(vl_state)} tensors)")
    return StateReport(found.form, tuple(loaded), tuple(missing), tuple(ignored))

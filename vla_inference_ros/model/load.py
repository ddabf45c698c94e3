"""Chooses and loads the models that the ``model`` and ``checkpoint`` parameters name.

Owns the names, the precision and the warm-up. Imports torch only for a model that needs it, so that
``stub`` starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.device import describe, explained_memory, loading, prepare_torch
from vla_inference_ros.model.interface import (
    ACTION_NAMES,
    DEFAULT_INSTRUCTION,
    SENSOR_WINDOW,
    VIEWS,
    ActionModel,
    FeatureModel,
    ModelError,
    View,
)
from vla_inference_ros.model.picture import HEIGHT, WIDTH
from vla_inference_ros.model.stub import StubFeatures, StubPolicy

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import nn

    from vla_inference_ros.model.heads import ActionExpert, SensorEncoder

_BUILT_IN = ("tiny", "stub")

Model = TypeVar("Model", FeatureModel, ActionModel)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Model]):
    """A model, warm, and what a person should know of it, line by line. One that is ``on_cpu``
    keeps this machine's processors busy while it computes.
    """

    model: Model
    summary: tuple[str, ...]
    on_cpu: bool = False


def load_feature_model(
    model: str,
    checkpoint: str,
    device: str,
    dtype: str,
    *,
    views: int = len(VIEWS),
    instruction: str = DEFAULT_INSTRUCTION,
    adapter_config: str = "",
    lora_alpha: float = 0.0,
    torch_threads: int,
    stub_seconds: float,
) -> Loaded[FeatureModel]:
    """The feature model called ``model``: a hub id, a folder, ``tiny`` or ``stub``.

    It is warm for a number of ``views`` and instructions about as long as this one. Weights of the
    VLM that ``checkpoint`` holds, whole or LoRA, replace or join the model's; ``adapter_config``
    and ``lora_alpha`` say LoRA's scale (``qwen.lora_config``). ``device`` is
    ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``dtype`` is ``auto`` (bfloat16 on a GPU, else
    float32) or one of ``linear.PRECISIONS``; ``torch_threads`` >= 1 holds for the process;
    ``stub_seconds`` is what the stub takes for one update. Raises :class:`ModelError`.
    """
    _refuse_checkpoint_of_built_in(model, checkpoint)
    _refuse_lora_of_nothing(checkpoint, adapter_config, lora_alpha)
    if model == "stub":
        return Loaded(StubFeatures(stub_seconds), ())
    with loading():
        torch_device = prepare_torch(device, torch_threads)
        from vla_inference_ros.model.linear import check_precision
        from vla_inference_ros.model.qwen.features import QwenFeatures

        if dtype == "auto":
            dtype = "bfloat16" if torch_device.type == "cuda" else "float32"
        check_precision(dtype, torch_device)
        if model == "tiny":
            from vla_inference_ros.model.tiny import tiny_features

            features = tiny_features(torch_device, dtype)
            remarks: list[str] = []
            _update(features, views, instruction)
        else:
            lora = adapter_config, lora_alpha
            network, tokenizer, name, remarks = _trained(
                model, checkpoint, lora, torch_device, dtype
            )
            exact = None
            if dtype == "float8":  # before the features that stay: both may not fit
                exact = _bfloat16_feature(network, tokenizer, torch_device, views, instruction)
            features = QwenFeatures(network, tokenizer, name, torch_device, dtype)
            feature = _update(features, views, instruction)
            if dtype == "float8":
                remarks.append(_float8_error(feature, exact))
        summary = (f"{dtype} on {describe(torch_device)}", *remarks)
    return Loaded(features, summary, torch_device.type == "cpu")


def check_vl_checkpoint(
    model: str, checkpoint: str, *, adapter_config: str = "", lora_alpha: float = 0.0
) -> tuple[str, bool]:
    """What :func:`load_feature_model` would say of the checkpoint, without loading the model.

    Also whether the model is on this machine: names and shapes are compared with it only if it is.
    Raises :class:`ModelError`.
    """
    _refuse_checkpoint_of_built_in(model, checkpoint)
    _refuse_lora_of_nothing(checkpoint, adapter_config, lora_alpha)
    from vla_inference_ros.model.qwen.changes import read_changes
    from vla_inference_ros.model.qwen.hub import local_tensors

    changes = read_changes(checkpoint, adapter_config, lora_alpha)
    targets = local_tensors(model) if changes.state else {}
    return changes.check(targets), targets is not None


def load_action_model(
    model: str,
    checkpoint: str,
    device: str,
    dtype: str,
    fusion_strategy: str,
    *,
    torch_threads: int,
    stub_seconds: float,
) -> Loaded[ActionModel]:
    """The action model called ``model``; a trained one is in the file ``checkpoint``.

    ``fusion_strategy`` is one of ``heads.FUSIONS``; ``dtype`` auto is float32; the rest is as for
    :func:`load_feature_model`. Raises :class:`ModelError`.
    """
    _refuse_checkpoint_of_built_in(model, checkpoint)
    if model == "stub":
        return Loaded(StubPolicy(stub_seconds), ())
    if model != "tiny" and not checkpoint:
        raise ModelError(
            f"checkpoint is empty, but model:={model} needs the file of the trained sensor encoder "
            "and action expert: give checkpoint:=FILE, or model:=tiny for random weights"
        )
    with loading():
        torch_device = prepare_torch(device, torch_threads)
        from vla_inference_ros.model.identity import weights_digest
        from vla_inference_ros.model.linear import check_precision
        from vla_inference_ros.model.policy import HeadsPolicy, action_error

        dtype = "float32" if dtype == "auto" else dtype
        check_precision(dtype, torch_device)
        encoder, expert, name, remarks = _heads(model, checkpoint, fusion_strategy)
        model_id = f"{name} {weights_digest(encoder, expert)} {dtype}"
        policy = HeadsPolicy(encoder, expert, model_id, torch_device, dtype)
        _step(policy)
        if dtype != "float32":
            remarks.append(f"{dtype}: {action_error(policy, encoder, expert)}")
        shapes = (
            f"window {encoder.window} x {encoder.channels}, fusion {expert.fusion}, "
            f"chunk {expert.horizon} x {expert.action_dim}"
        )
        del encoder, expert  # they are on the device too, and of no more use
        summary = (f"{dtype} on {describe(torch_device)}", shapes, *remarks)
    return Loaded(policy, summary, torch_device.type == "cpu")


def _refuse_checkpoint_of_built_in(model: str, checkpoint: str) -> None:
    if model in _BUILT_IN and checkpoint:
        raise ModelError(
            f"checkpoint:={checkpoint} does not go with model:={model}, which has no trained "
            "weights: leave the checkpoint empty"
        )


def _refuse_lora_of_nothing(checkpoint: str, adapter_config: str, lora_alpha: float) -> None:
    if (adapter_config or lora_alpha) and not checkpoint:
        raise ModelError(
            "adapter_config and lora_alpha are for the LoRA of a checkpoint, and there is none: "
            "leave them out"
        )


def _trained(
    model: str, checkpoint: str, lora: tuple[str, float], device: torch.device, dtype: str
) -> tuple[nn.Module, Tokenizer, str, list[str]]:
    """The VLM of a hub id or folder, its tokenizer, its name, and what the checkpoint did to it."""
    import torch

    from vla_inference_ros.model.identity import weights_digest
    from vla_inference_ros.model.qwen.changes import read_changes
    from vla_inference_ros.model.qwen.hub import load_qwen

    if dtype == "float16" and device.type == "cuda":
        raise ModelError("dtype float16 overflows in this model's layers: use bfloat16")
    stored = torch.bfloat16 if dtype == "float8" else getattr(torch, dtype)
    changes = read_changes(checkpoint, *lora) if checkpoint else None  # sooner than what is large
    network, tokenizer = load_qwen(model, stored)
    remarks = [changes.apply(network)] if changes else []
    return network, tokenizer, f"{model} {weights_digest(network)} {dtype}", remarks


def _bfloat16_feature(
    network: nn.Module, tokenizer: Tokenizer, device: torch.device, views: int, instruction: str
) -> NDArray[np.float32] | None:
    """What a warm-up gives in bfloat16; None where the GPU's memory is too small for it."""
    from vla_inference_ros.model.qwen.features import QwenFeatures

    try:
        with explained_memory():
            features = QwenFeatures(network, tokenizer, "", device, "bfloat16")
            return _update(features, views, instruction)
    except ModelError:  # only of memory: the picture is our own
        return None


def _float8_error(found: NDArray[np.float32], exact: NDArray[np.float32] | None) -> str:
    """How far float8's feature is from bfloat16's, in words."""
    if exact is None:
        return "float8: its error is not known, since bfloat16 does not fit into the GPU's memory"
    cosine = float((found * exact).sum() / np.linalg.norm(found) / np.linalg.norm(exact))
    return f"float8: the cosine of a feature to that of bfloat16 is {cosine:.5f}"


def _heads(
    model: str, checkpoint: str, fusion: str
) -> tuple[SensorEncoder, ActionExpert, str, list[str]]:
    """The networks, their name and remarks on the checkpoint."""
    from vla_inference_ros.model.checkpoint import load_policy_heads
    from vla_inference_ros.model.state_file import listed
    from vla_inference_ros.model.tiny import NAME, tiny_heads

    if model == "tiny":
        try:
            return *tiny_heads(fusion), NAME, []
        except ValueError as error:
            raise ModelError(f"fusion_strategy: {error}") from error
    heads = load_policy_heads(checkpoint, fusion_strategy=fusion)
    encoder, expert = heads.encoder, heads.expert
    if encoder.channels != SENSOR_CHANNELS:
        raise ModelError(
            f"checkpoint {checkpoint} takes sensor samples of {encoder.channels} numbers, but the "
            f"sensor sends {SENSOR_CHANNELS} (force and A-scan)"
        )
    if expert.action_dim != len(ACTION_NAMES):
        raise ModelError(
            f"checkpoint {checkpoint} gives {expert.action_dim} actions a step, not the "
            f"{len(ACTION_NAMES)} that are {', '.join(ACTION_NAMES)}"
        )
    report = heads.state_report
    form = "; ".join(filter(None, (report.shape, report.misnamed)))
    remark = f"checkpoint {checkpoint} ({form}): {len(report.loaded)} tensors loaded"
    if report.ignored:
        remark += f"; not used: {listed(report.ignored)}"
    return encoder, expert, Path(checkpoint).name, [remark]


def _update(model: FeatureModel, views: int, instruction: str) -> NDArray[np.float32]:
    """One update with a made-up picture for all views, which makes the model warm."""
    rows, columns = np.mgrid[0 : 2 * HEIGHT, 0 : 2 * WIDTH]
    picture = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    made_up = [View(f"View{n}", 0.0, jpeg) for n in range(1, views + 1)]
    feature = model.features(made_up, instruction)
    if not np.isfinite(feature).all():
        raise ModelError(
            "the VLM gives NaN or infinite features for a made-up picture: choose another dtype or "
            "checkpoint"
        )
    return feature


def _step(model: ActionModel) -> None:
    """One step with zeros, which makes the model warm."""
    features = np.zeros((1, 1, model.feature_size), dtype=np.float32)
    steps = model.act(features, np.zeros((SENSOR_WINDOW, SENSOR_CHANNELS), dtype=np.float32))
    if not np.isfinite(steps.actions).all():
        raise ModelError(
            "the action expert gives NaN or infinite actions for zeros: choose dtype:=float32, or "
            "another checkpoint"
        )

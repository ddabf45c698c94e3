"""Chooses the models that a recording is computed again with, from what it says of its own."""

from __future__ import annotations

from dataclasses import dataclass

from vla_inference_ros.model.interface import ActionModel, FeatureModel, ModelError
from vla_inference_ros.model.load import load_action_model, load_feature_model

_BUILT_IN = ("tiny", "stub")
_THREADS = 1  # of torch, as the nodes have it: sums in another order give other last digits


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """What the command line says of the models; "" where it says nothing."""

    model: str
    checkpoint: str
    fusion_strategy: str
    device: str
    dtype: str
    adapter_config: str = ""
    lora_alpha: float = 0.0


def load_recorded_action_model(options: ModelOptions, recorded_id: str) -> ActionModel:
    """The action expert: the one that the options name, or that made a recording if it is a
    built-in one. Raises :class:`ModelError`.
    """
    name = options.model or _built_in(recorded_id)
    if options.checkpoint and name in ("", *_BUILT_IN):
        name = "trained"
    elif not options.checkpoint and name not in _BUILT_IN:
        raise ModelError(
            f"the action expert was {recorded_id or 'one without a name'}: give its file, or that "
            "of the one to compare, with --checkpoint FILE"
        )
    loaded = load_action_model(
        name,
        options.checkpoint,
        options.device,
        options.dtype,
        options.fusion_strategy,
        torch_threads=_THREADS,
        stub_seconds=0.0,
    )
    return loaded.model


def load_recorded_feature_model(options: ModelOptions, recorded_id: str) -> FeatureModel:
    """The VLM, likewise. A built-in one takes nothing from the checkpoint."""
    name = options.model or _built_in(recorded_id)
    if not name:
        raise ModelError(
            f"the model was {recorded_id or 'one without a name'}: name its VLM, or the one to "
            "compare, with --model (a hub id or a folder), or replay a bag's action expert alone "
            "with --features recorded"
        )
    built_in = name in _BUILT_IN
    loaded = load_feature_model(
        name,
        "" if built_in else options.checkpoint,
        options.device,
        options.dtype,
        adapter_config="" if built_in else options.adapter_config,
        lora_alpha=0.0 if built_in else options.lora_alpha,
        torch_threads=_THREADS,
        stub_seconds=0.0,
    )
    return loaded.model


def _built_in(recorded_id: str) -> str:
    """The name of the built-in model that has an id such as "tiny (random weights, ...", or ""."""
    return next((name for name in _BUILT_IN if recorded_id.startswith(f"{name} (")), "")

"""Chooses and loads the models that the ``model`` and ``checkpoint`` parameters name.

Owns the names, the device and the warm-up. Imports torch only for a model that needs it, so that
``stub`` starts at once.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import cv2
import numpy as np

from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.interface import (
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


def load_feature_model(
    model: str, device: str, *, torch_threads: int, stub_seconds: float
) -> FeatureModel:
    """The feature model called ``model``, warm.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``torch_threads`` >= 1 holds for the
    process; ``stub_seconds`` is what the stub takes for one update. Raises :class:`ModelError`.
    """
    if model == "stub":
        return StubFeatures(stub_seconds)
    if model != "tiny":
        _refuse_trained(model)
    with _loading():
        torch_device = _prepare_torch(device, torch_threads)
        from vla_inference_ros.model.tiny import tiny_features

        features = tiny_features(torch_device)
        _warm_features(features)
    return features


def load_action_model(
    model: str,
    checkpoint: str,
    device: str,
    fusion_strategy: str,
    *,
    torch_threads: int,
    stub_seconds: float,
) -> ActionModel:
    """The action model called ``model``, warm.

    ``fusion_strategy`` is one of ``concat``, ``cross_attention``, ``gated`` and ``none``; the rest
    is as for :func:`load_feature_model`. Raises :class:`ModelError`.
    """
    if model in ("tiny", "stub") and checkpoint:
        raise ModelError(
            f"checkpoint:={checkpoint} does not go with model:={model}, which has no trained "
            "weights: leave the checkpoint empty"
        )
    if model == "stub":
        return StubPolicy(stub_seconds)
    if model != "tiny":
        _refuse_trained(model)
    with _loading():
        torch_device = _prepare_torch(device, torch_threads)
        from vla_inference_ros.model.tiny import tiny_policy

        try:
            policy = tiny_policy(torch_device, fusion_strategy)
        except ValueError as error:
            raise ModelError(f"fusion_strategy: {error}") from error
        _warm_policy(policy)
    return policy


def _refuse_trained(model: str) -> NoReturn:
    """Hold the place of models from the hub, from a folder and from a checkpoint."""
    raise ModelError(
        f"model:={model} cannot be loaded: hub models and checkpoints are not in this version; "
        "use model:=tiny (random weights) or model:=stub (no network)"
    )


def _prepare_torch(device: str, threads: int) -> torch.device:
    """Import torch quietly, set the number of threads and find the device."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ModelError(f"device {device!r} is none of auto, cpu, cuda, cuda:N")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {device!r}: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA "
            "devices here; use device:=cpu, or install a torch built for this machine's GPU"
        )
    return found


@contextmanager
def _loading() -> Iterator[None]:
    """Keep the garbage collector away from what the imports make, now and later.

    Imports are a quarter faster without it, and a full collection over transformers' objects would
    stop every thread for 150 ms, longer than a period of the action expert.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def _warm_features(model: FeatureModel) -> None:
    black = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    jpeg = cv2.imencode(".jpg", black)[1].tobytes()
    model.features([View(name, 0.0, jpeg) for name in VIEWS], DEFAULT_INSTRUCTION)


def _warm_policy(model: ActionModel) -> None:
    features = np.zeros((1, 1, model.feature_size), dtype=np.float32)
    model.act(features, np.zeros((SENSOR_WINDOW, SENSOR_CHANNELS), dtype=np.float32))

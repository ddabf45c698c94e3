"""Runs a sensor encoder and an action expert as one action model.

Owns what is kept from one step to the next, and how far a lower precision is off.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.fused import FusedHeads
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import ActionSteps, ModelError

_TRIALS = 8  # random inputs that a lower precision is compared on


class HeadsPolicy:
    """An :class:`ActionModel` of two networks in eval mode, which go to ``device``.

    ``precision`` is one of ``linear.PRECISIONS``. z_chunk is zero. For one thread at a time.
    """

    # The robot waits for this one: before other work of the process on the GPU.
    stream_priority = -1

    def __init__(
        self,
        encoder: SensorEncoder,
        expert: ActionExpert,
        model_id: str,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - it is immutable
        precision: str = "float32",
    ) -> None:
        self.model_id = model_id
        self.feature_size = expert.vl_dim
        self._channels, self._window = encoder.channels, encoder.window
        self._device = device
        self._stream = (
            torch.cuda.Stream(device, priority=self.stream_priority)
            if device.type == "cuda"
            else None
        )
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._heads = FusedHeads(encoder.eval().to(device), expert.eval().to(device), precision)
        self._samples = torch.empty(
            encoder.window, encoder.channels, pin_memory=self._stream is not None
        )
        self._features = np.empty(0, dtype=np.float32)
        self._prepared: tuple[Tensor, ...] = ()  # of these features
        self._step: Captured | None = None

    @torch.inference_mode()
    def act(self, features: NDArray[np.float32], window: NDArray[np.float32]) -> ActionSteps:
        """One chunk from features (1, S, V) and a window (T, C); sizes that differ are an error."""
        if features.ndim != 3 or features.shape[-1] != self.feature_size:
            raise ModelError(
                f"features are {features.shape}, the action model takes (1, S, "
                f"{self.feature_size}): do both nodes run the same model?"
            )
        if window.ndim != 2 or window.shape[-1] != self._channels:
            raise ModelError(
                f"the sensor window is {window.shape}, the action model takes (T, "
                f"{self._channels}): is the sender's A-scan length right?"
            )
        with torch.cuda.stream(self._stream):
            if not np.array_equal(features, self._features):
                self._prepare(features)
            self._take(torch.tensor(window))
            if self._step is None:
                example = self._samples.to(self._device)
                self._step = Captured(self._heads.step, example, *self._prepared)
            delta = self._step(self._samples, *self._prepared).cpu().numpy().copy()
        return ActionSteps(delta, delta)

    def _prepare(self, features: NDArray[np.float32]) -> None:
        prepared = self._heads.prepare(torch.tensor(features[0]).to(self._device))
        if [part.shape for part in prepared] != [part.shape for part in self._prepared]:
            self._step = None
        self._prepared, self._features = prepared, features.copy()

    def _take(self, samples: Tensor) -> None:
        """Fill the window; one of another length is interpolated as ``heads`` does it."""
        if len(samples) != self._window:
            signal = samples.T.unsqueeze(0)
            samples = F.interpolate(signal, size=self._window, mode="linear")[0].T
        self._samples.copy_(samples)


def action_error(policy: HeadsPolicy, encoder: SensorEncoder, expert: ActionExpert) -> str:
    """How far ``policy`` is from the plain networks in float32, in words.

    Features and windows are normal random numbers, always the same.
    """
    random = torch.Generator().manual_seed(0)
    device = next(expert.parameters()).device
    worst = largest = 0.0
    for _ in range(_TRIALS):
        features = torch.randn(1, 1, expert.vl_dim, generator=random)
        window = torch.randn(encoder.window, encoder.channels, generator=random)
        with torch.inference_mode():
            feature = encoder(window.unsqueeze(0).to(device))
            expected = expert(features.to(device), feature)[0][0].cpu().numpy()
        actions = policy.act(features.numpy(), window.numpy()).actions
        if not np.isfinite(actions).all() and np.isfinite(expected).all():
            raise ModelError(
                "the action expert gives NaN or infinite actions that float32 does not: choose "
                "dtype:=float32"
            )
        worst = max(worst, float(np.abs(actions - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    return (
        f"actions differ from float32's by at most {worst:.1e}, the largest being {largest:.2g} "
        f"({_TRIALS} random inputs)"
    )

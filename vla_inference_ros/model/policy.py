"""Runs a sensor encoder and an action expert as one action model."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import ActionSteps, ModelError


class HeadsPolicy:
    """An :class:`ActionModel` of two networks in eval mode on one device. z_chunk is zero."""

    def __init__(self, encoder: SensorEncoder, expert: ActionExpert, model_id: str) -> None:
        self.model_id = model_id
        self.feature_size = expert.vl_dim
        self._encoder = encoder.eval()
        self._expert = expert.eval()
        self._device = next(expert.parameters()).device

    @torch.inference_mode()
    def act(self, features: NDArray[np.float32], window: NDArray[np.float32]) -> ActionSteps:
        """One chunk from features (1, S, V) and a window (T, C); sizes that differ are an error."""
        if features.ndim != 3 or features.shape[-1] != self.feature_size:
            raise ModelError(
                f"features are {features.shape}, the action model takes (1, S, "
                f"{self.feature_size}): do both nodes run the same model?"
            )
        if window.ndim != 2 or window.shape[-1] != self._encoder.channels:
            raise ModelError(
                f"the sensor window is {window.shape}, the action model takes (T, "
                f"{self._encoder.channels}): is the sender's A-scan length right?"
            )
        vl_tokens = torch.tensor(features, device=self._device)
        samples = torch.tensor(window, device=self._device).unsqueeze(0)
        actions, delta = self._expert(vl_tokens, self._encoder(samples))
        return ActionSteps(actions[0].cpu().numpy(), delta[0].cpu().numpy())

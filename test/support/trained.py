"""A trained policy as it is on a disk: a model's folder and a full checkpoint for it, small."""

from __future__ import annotations

from pathlib import Path

import torch
from small_qwen import SMALL, save_small

from vla_inference_ros.model.tiny import tiny_heads

ADAPTED = "language_model.layers.1.self_attn.q_proj"
RANK = 16


def save_model(folder: Path) -> Path:
    """The VLM's folder."""
    folder.mkdir()
    return save_small(folder)


def save_checkpoint(
    file: Path, *, fusion: str = "concat", lora: bool = True, wrapper: str = ""
) -> Path:
    """Heads of the rig's shapes and, of the VLM, one adapted layer; ``wrapper`` is in front of
    all names.
    """
    state: dict[str, torch.Tensor] = {}
    for part, network in zip(("sensor_encoder", "action_expert"), tiny_heads(fusion), strict=True):
        state |= {f"{part}.{name}": value for name, value in network.state_dict().items()}
    if lora:
        random = torch.Generator().manual_seed(0)
        size = SMALL.get_submodule(ADAPTED).weight.shape[0]
        for side, shape in (("A", (RANK, size)), ("B", (size, RANK))):
            name = f"vl_model.base_model.model.model.{ADAPTED}.lora_{side}.default.weight"
            state[name] = 0.2 * torch.randn(shape, generator=random)
    state = {f"{wrapper}{name}": value for name, value in state.items()}
    torch.save({"model_state_dict": state, "epoch": 3}, file)
    return file

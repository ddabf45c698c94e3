"""The checkpoints of the reference implementation, and files made of their parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vla_inference_ros.model.checkpoint import PolicyHeads, load_policy_heads
from vla_inference_ros.model.interface import ModelError

PARITY = Path(__file__).parent.parent / "data" / "parity"
NAMES = sorted(path.stem for path in PARITY.glob("*.pt"))
Parts = dict[str, dict[str, Any]]


def fusion_of(name: str) -> str:
    """The fusion that a fixture was made with."""
    fusion: str = json.loads((PARITY / f"{name}.json").read_text(encoding="utf-8"))[
        "fusion_strategy"
    ]
    return fusion


def parts_of(fusion: str = "concat") -> Parts:
    """The state dicts of the two networks, to be changed."""
    checkpoint = torch.load(PARITY / f"{fusion}_stage1_T65.pt", weights_only=True)
    return {part: dict(checkpoint[part]) for part in ("sensor_encoder", "action_expert")}


def flat(parts: Parts, prefix: str = "") -> dict[str, Any]:
    """The same as one state dict."""
    return {
        f"{prefix}{part}.{name}": tensor
        for part, state in parts.items()
        for name, tensor in state.items()
    }


def assert_reproduces(heads: PolicyHeads, name: str, tolerance: float = 1e-5) -> None:
    """Expect a fixture's results from its inputs."""
    arrays = np.load(PARITY / f"{name}.npz")
    tensors = {key: torch.tensor(arrays[key]) for key in arrays}
    feature = heads.sensor_features(tensors["sensor"])
    actions, delta = heads.predict(tensors["vl_tokens"], tensors["z_chunk"], feature)
    for found, key in ((feature, "sensor_features"), (actions, "actions"), (delta, "delta")):
        torch.testing.assert_close(found.float(), tensors[key], atol=tolerance, rtol=0)


def message_of(path: Path, fusion: str = "concat", **options: Any) -> str:
    """The one line that says why a file is refused."""
    with pytest.raises(ModelError) as error:
        load_policy_heads(path, fusion, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def refusal(folder: Path, content: object, fusion: str = "concat") -> str:
    """Why a checkpoint with this content is refused."""
    path = folder / "refused.pt"
    torch.save(content, path)
    return message_of(path, fusion)

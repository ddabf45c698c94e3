"""The fixtures are checkpoints of the reference implementation with its inputs and results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity import NAMES, PARITY, fusion_of
from torch import Tensor

from vla_inference_ros.model.checkpoint import load_policy_heads
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder


def load(name: str) -> tuple[SensorEncoder, ActionExpert, dict[str, Tensor]]:
    heads = load_policy_heads(PARITY / f"{name}.pt", fusion_of(name))
    arrays = np.load(PARITY / f"{name}.npz")
    return heads.encoder, heads.expert, {key: torch.tensor(arrays[key]) for key in arrays}


def test_every_fusion_and_checkpoint_shape_has_a_fixture() -> None:
    assert {name.rsplit("_", 2)[0] for name in NAMES} == {
        "concat",
        "cross_attention",
        "gated",
        "none",
    }
    assert {name.rsplit("_", 2)[1] for name in NAMES} == {"stage1", "full", "bare"}


@pytest.mark.parametrize("name", NAMES)
def test_reproduces_the_reference(name: str) -> None:
    encoder, expert, arrays = load(name)
    with torch.inference_mode():
        feature = encoder(arrays["sensor"])
        actions, delta = expert(arrays["vl_tokens"], feature, arrays["z_chunk"])
    torch.testing.assert_close(feature, arrays["sensor_features"], atol=1e-5, rtol=0)
    torch.testing.assert_close(delta, arrays["delta"], atol=1e-5, rtol=0)
    torch.testing.assert_close(actions, arrays["actions"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["concat_stage1_T65", "gated_stage1_T65"])
def test_without_z_chunk_the_actions_are_the_delta(name: str) -> None:
    _, expert, arrays = load(name)
    with torch.inference_mode():
        actions, delta = expert(arrays["vl_tokens"], arrays["sensor_features"])
    torch.testing.assert_close(actions, arrays["delta"], atol=1e-5, rtol=0)
    assert torch.equal(actions, delta)


def test_full_size_has_the_known_number_of_parameters() -> None:
    with torch.device("meta"):
        encoder = SensorEncoder(channels=1026, window=65, hidden=512, output=3072)
        expert = ActionExpert(
            vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7, fusion="concat"
        )
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e5) == 472
    assert round(sum(p.numel() for p in expert.parameters()) / 1e5) == 724


def test_an_unknown_fusion_is_refused() -> None:
    with pytest.raises(ValueError, match="'sum' is none of concat"):
        ActionExpert(vl_dim=8, sensor_dim=8, hidden=8, horizon=8, action_dim=7, fusion="sum")


def test_only_fusion_none_does_without_a_sensor_feature() -> None:
    _, expert, arrays = load("none_stage1_T65")
    with torch.inference_mode():
        _, delta = expert(arrays["vl_tokens"], None)
    torch.testing.assert_close(delta, arrays["delta"], atol=1e-5, rtol=0)
    _, expert, arrays = load("concat_stage1_T65")
    with pytest.raises(ValueError, match="'concat' needs a sensor feature"):
        expert(arrays["vl_tokens"], None)

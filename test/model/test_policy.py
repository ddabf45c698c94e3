from __future__ import annotations

import numpy as np
import pytest
import torch

from vla_inference_ros.model.heads import FUSIONS
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.tiny import tiny_policy

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def policy() -> HeadsPolicy:
    return tiny_policy(CPU)


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(1, 1, 64)).astype(np.float32)


@pytest.fixture
def window() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(65, 1026)).astype(np.float32)


def test_a_chunk_is_eight_steps_of_seven_actions(
    policy: HeadsPolicy, features: np.ndarray, window: np.ndarray
) -> None:
    steps = policy.act(features, window)
    assert steps.actions.shape == steps.delta.shape == (8, 7)
    assert steps.actions.dtype == steps.delta.dtype == np.float32
    np.testing.assert_array_equal(steps.actions, steps.delta)  # z_chunk is zero
    np.testing.assert_array_equal(policy.act(features, window).actions, steps.actions)


def test_actions_depend_on_features_and_window(
    policy: HeadsPolicy, features: np.ndarray, window: np.ndarray
) -> None:
    actions = policy.act(features, window).actions
    assert np.abs(policy.act(-features, window).actions - actions).max() > 1e-3
    assert np.abs(policy.act(features, -window).actions - actions).max() > 1e-3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_takes_one_or_many_tokens(
    fusion: str, features: np.ndarray, window: np.ndarray
) -> None:
    policy = tiny_policy(CPU, fusion)
    for tokens in (1, 3):
        actions = policy.act(np.repeat(features, tokens, axis=1), window).actions
        assert np.isfinite(actions).all()


def test_read_only_arrays_are_taken_without_a_warning(
    policy: HeadsPolicy,
    features: np.ndarray,
    window: np.ndarray,
    recwarn: pytest.WarningsRecorder,
) -> None:
    features.flags.writeable = window.flags.writeable = False
    policy.act(features, window)
    assert not recwarn.list


def test_other_shapes_are_refused_with_the_reason(
    policy: HeadsPolicy, features: np.ndarray, window: np.ndarray
) -> None:
    with pytest.raises(ModelError, match=r"\(1, 1, 32\).*same model"):
        policy.act(features[..., :32], window)
    with pytest.raises(ModelError, match=r"\(65, 512\).*A-scan"):
        policy.act(features, window[:, :512])

from __future__ import annotations

import numpy as np
import pytest
import torch

from vla_inference_ros.model.heads import FUSIONS
from vla_inference_ros.model.interface import ActionSteps, ModelError
from vla_inference_ros.model.policy import HeadsPolicy, action_error
from vla_inference_ros.model.tiny import tiny_heads, tiny_policy

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


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("length", [65, 64, 33, 1, 130])
def test_a_chunk_is_that_of_the_plain_networks(
    fusion: str, length: int, features: np.ndarray
) -> None:
    encoder, expert = tiny_heads(fusion)
    policy = HeadsPolicy(encoder, expert, "")
    window = np.random.default_rng(length).normal(size=(length, 1026)).astype(np.float32)
    with torch.inference_mode():
        feature = encoder(torch.tensor(window).unsqueeze(0))
        expected = expert(torch.tensor(features), feature)[0][0]
    actions = policy.act(features, window).actions
    np.testing.assert_allclose(actions, expected.numpy(), atol=1e-5, rtol=0)


def test_what_came_before_changes_no_bit(features: np.ndarray, window: np.ndarray) -> None:
    first = tiny_policy(CPU).act(features, window).actions
    other = tiny_policy(CPU)
    other.act(np.repeat(-features, 3, axis=1), window[:40])
    other.act(-features, -window)
    np.testing.assert_array_equal(other.act(features, window).actions, first)


def test_features_that_changed_in_place_are_taken_anew(
    policy: HeadsPolicy, features: np.ndarray, window: np.ndarray
) -> None:
    expected = policy.act(-features, window).actions
    policy.act(features, window)
    features *= -1
    np.testing.assert_array_equal(policy.act(features, window).actions, expected)


def test_a_chunk_stays_when_the_next_comes(
    policy: HeadsPolicy, features: np.ndarray, window: np.ndarray
) -> None:
    steps = policy.act(features, window)
    before = steps.actions.copy()
    policy.act(features, -window)
    np.testing.assert_array_equal(steps.actions, before)


def test_the_error_of_a_precision_is_measured() -> None:
    encoder, expert = tiny_heads()
    exact = action_error(HeadsPolicy(encoder, expert, ""), encoder, expert)
    rough = action_error(HeadsPolicy(encoder, expert, "", precision="bfloat16"), encoder, expert)
    limits = [float(text.split("at most ")[1].split(",")[0]) for text in (exact, rough)]
    assert limits[0] < 1e-5 < limits[1] < 0.05


def test_a_precision_that_overflows_is_refused_and_not_counted_as_exact() -> None:
    encoder, expert = tiny_heads()

    class Broken(HeadsPolicy):
        def act(self, features: np.ndarray, window: np.ndarray) -> ActionSteps:
            steps = super().act(features, window)
            return ActionSteps(steps.actions * np.float32("nan"), steps.delta)

    with pytest.raises(ModelError, match="infinite actions that float32 does not: choose dtype"):
        action_error(Broken(encoder, expert, ""), encoder, expert)

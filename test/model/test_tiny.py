from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, View
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.tiny import byte_tokenizer, tiny_features, tiny_policy

CPU = torch.device("cpu")
NOTICEABLE = 1e-3  # far above float32's noise, for features and actions of about 0.5


@pytest.fixture(scope="module")
def tiny() -> QwenFeatures:
    return tiny_features(CPU)


@pytest.fixture(scope="module")
def policy() -> HeadsPolicy:
    return tiny_policy(CPU)


@pytest.fixture
def window() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(65, 1026)).astype(np.float32)


def test_model_id_says_that_the_weights_are_random(tiny: QwenFeatures, policy: HeadsPolicy) -> None:
    pattern = r"tiny \(random weights, seed 0\) [0-9a-f]{8} float32"
    for model_id in (tiny.model_id, policy.model_id):
        assert re.fullmatch(pattern, model_id)


def test_two_constructions_are_the_same_model(
    tiny: QwenFeatures, policy: HeadsPolicy, views: list[View], window: np.ndarray
) -> None:
    torch.manual_seed(123)  # must not matter
    features = tiny.features(views, DEFAULT_INSTRUCTION)
    np.testing.assert_array_equal(tiny_features(CPU).features(views, DEFAULT_INSTRUCTION), features)
    assert tiny_features(CPU).model_id == tiny.model_id
    np.testing.assert_array_equal(
        tiny_policy(CPU).act(features, window).actions, policy.act(features, window).actions
    )
    assert tiny_policy(CPU).model_id == policy.model_id


def test_another_process_builds_the_same_model(tiny: QwenFeatures, policy: HeadsPolicy) -> None:
    code = (
        "import torch; from vla_inference_ros.model.tiny import *; cpu = torch.device('cpu');"
        "print(tiny_features(cpu).model_id); print(tiny_policy(cpu).model_id)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines() == [tiny.model_id, policy.model_id]


def test_construction_leaves_the_global_random_state() -> None:
    before = torch.random.get_rng_state()
    tiny_features(CPU)
    tiny_policy(CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("changed", range(5))
def test_features_depend_on_every_view(
    tiny: QwenFeatures, views: list[View], jpeg: Callable[..., bytes], changed: int
) -> None:
    before = tiny.features(views, DEFAULT_INSTRUCTION)
    views[changed] = View(views[changed].name, 0.0, jpeg(100 + changed))
    after = tiny.features(views, DEFAULT_INSTRUCTION)
    assert np.abs(after - before).max() > NOTICEABLE


def test_features_depend_on_the_order_of_views(tiny: QwenFeatures, views: list[View]) -> None:
    before = tiny.features(views, DEFAULT_INSTRUCTION)
    after = tiny.features(views[::-1], DEFAULT_INSTRUCTION)
    assert np.abs(after - before).max() > NOTICEABLE


def test_features_depend_on_the_instruction(tiny: QwenFeatures, views: list[View]) -> None:
    before = tiny.features(views, DEFAULT_INSTRUCTION)
    assert np.abs(tiny.features(views, "Hold still") - before).max() > NOTICEABLE


@pytest.mark.parametrize("count", range(1, 6))
def test_one_to_five_views(tiny: QwenFeatures, views: list[View], count: int) -> None:
    features = tiny.features(views[:count], DEFAULT_INSTRUCTION)
    assert features.shape == (1, 1, 64)
    assert np.isfinite(features).all()


def test_tokenizer_keeps_text_and_knows_the_markers() -> None:
    tokenizer = byte_tokenizer()
    text = "Nadel führen, 10 µm → weiter\n"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert len(tokenizer.encode("<|im_start|>a<|image_pad|>").ids) == 3

from __future__ import annotations

import gc
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    ActionModel,
    FeatureModel,
    ModelError,
    View,
)
from vla_inference_ros.model.load import Loaded, load_action_model, load_feature_model

HUB_MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"


def features_of(
    model: str, checkpoint: str = "", device: str = "cpu", dtype: str = "auto"
) -> Loaded[FeatureModel]:
    return load_feature_model(model, checkpoint, device, dtype, torch_threads=1, stub_seconds=0.0)


def policy_of(
    model: str,
    checkpoint: str = "",
    device: str = "cpu",
    dtype: str = "auto",
    fusion_strategy: str = "concat",
) -> Loaded[ActionModel]:
    return load_action_model(
        model, checkpoint, device, dtype, fusion_strategy, torch_threads=1, stub_seconds=0.0
    )


@pytest.mark.parametrize("model", ["tiny", "stub"])
def test_features_of_a_model_fit_its_policy(model: str, views: list[View]) -> None:
    policy = policy_of(model).model
    features = features_of(model).model.features(views, DEFAULT_INSTRUCTION)
    assert features.shape == (1, 1, policy.feature_size)
    steps = policy.act(features, np.zeros((65, 1026), dtype=np.float32))
    assert steps.actions.shape == (8, 7)


def test_auto_takes_a_device_that_is_there(views: list[View]) -> None:
    loaded = features_of("tiny", device="auto")
    assert loaded.model.features(views[:1], "go").shape == (1, 1, 64)


def test_threads_are_set() -> None:
    torch.set_num_threads(2)
    features_of("tiny")
    assert torch.get_num_threads() == 1


def test_the_summary_tells_what_runs() -> None:
    assert features_of("tiny").summary == ("float32 on cpu, 1 thread(s)",)
    assert policy_of("tiny", fusion_strategy="gated").summary == (
        "float32 on cpu, 1 thread(s)",
        "window 65 x 1026, fusion gated, chunk 8 x 7",
    )
    assert policy_of("stub").summary == ()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_lower_precision_tells_its_error(dtype: str) -> None:
    *_, remark = policy_of("tiny", dtype=dtype).summary
    found = re.match(
        rf"{dtype}: actions differ from float32's by at most ([\d.e-]+), the largest", remark
    )
    assert found
    assert 1e-6 < float(found[1]) < 0.05


@pytest.mark.parametrize(
    ("dtype", "reason"), [("float8", "for GPUs"), ("int3", "'int3' is none of auto, float32")]
)
def test_a_precision_that_cannot_be_is_refused(dtype: str, reason: str) -> None:
    for load in (features_of, policy_of):
        with pytest.raises(ModelError, match=reason):
            load("tiny", dtype=dtype)


def test_a_trained_policy_needs_a_checkpoint() -> None:
    with pytest.raises(ModelError, match=rf"checkpoint is empty, but model:={HUB_MODEL} needs"):
        policy_of(HUB_MODEL)


@pytest.mark.parametrize("model", ["tiny", "stub"])
def test_a_checkpoint_needs_a_trained_model(model: str) -> None:
    for load in (features_of, policy_of):
        with pytest.raises(ModelError, match=f"checkpoint:=best.pt does not go with .*{model}"):
            load(model, checkpoint="best.pt")


@pytest.mark.parametrize("device", ["gpu", "mps", "", "cuda:x"])
def test_an_unknown_device_is_refused(device: str) -> None:
    for load in (features_of, policy_of):
        with pytest.raises(ModelError, match=f"device '{device}' is none of auto"):
            load("tiny", device=device)


def test_a_device_that_is_not_there_is_refused() -> None:
    absent = f"cuda:{torch.cuda.device_count()}"
    for load in (features_of, policy_of):
        with pytest.raises(ModelError, match=f"device '{absent}'.*use device:=cpu"):
            load("tiny", device=absent)


def test_an_unknown_fusion_is_refused() -> None:
    with pytest.raises(ModelError, match=r"fusion_strategy: .*'sum'"):
        policy_of("tiny", fusion_strategy="sum")


def test_the_garbage_collector_runs_again_afterwards() -> None:
    policy_of("tiny")
    assert gc.isenabled()
    with pytest.raises(ModelError):
        policy_of("tiny", device="gpu")
    assert gc.isenabled()


def test_loading_prints_nothing() -> None:
    code = (
        "from vla_inference_ros.model.load import *;"
        "load_feature_model('tiny', '', 'cpu', 'auto', torch_threads=1, stub_seconds=0.0);"
        "load_action_model('tiny', '', 'cpu', 'auto', 'concat', torch_threads=1, stub_seconds=0.0)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == ""
    assert out.stderr == ""


def test_the_policy_alone_needs_no_transformers() -> None:
    code = (
        "import sys; from vla_inference_ros.model.load import *;"
        "load_action_model('tiny', '', 'cpu', 'auto', 'concat', torch_threads=1, stub_seconds=0.0);"
        "print('transformers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False"]

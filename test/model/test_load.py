from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parity import PARITY
from trained import save_checkpoint, save_model

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.heads import FUSIONS, ActionExpert
from vla_inference_ros.model.interface import (
    DEFAULT_INSTRUCTION,
    ActionModel,
    FeatureModel,
    ModelError,
    View,
)
from vla_inference_ros.model.load import Loaded, load_action_model, load_feature_model
from vla_inference_ros.model.qwen import features as features_module
from vla_inference_ros.model.qwen.vision import VisionEncoder
from vla_inference_ros.model.tiny import tiny_heads

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("trained") / "qwen")


def test_a_folder_is_loaded_and_named_by_its_weights(folder: Path, views: list[View]) -> None:
    loaded = features_of(str(folder))
    assert re.fullmatch(rf"{folder} [0-9a-f]{{8}} float32", loaded.model.model_id)
    expected = features_of("tiny").model.features(views, DEFAULT_INSTRUCTION)
    found = loaded.model.features(views, DEFAULT_INSTRUCTION)
    np.testing.assert_array_equal(found, expected)  # it holds tiny's weights


def test_a_full_checkpoint_changes_the_features_and_their_name(
    folder: Path, tmp_path: Path, views: list[View]
) -> None:
    plain = features_of(str(folder))
    checkpoint = save_checkpoint(tmp_path / "best.pt")
    adapted = features_of(str(folder), checkpoint=str(checkpoint))
    assert adapted.summary[1:] == (
        f"checkpoint {checkpoint}: LoRA of rank 16 merged into 1 layers with alpha 32, scale 2 "
        "(the training code's, as no adapter_config.json says another)",
    )
    assert adapted.model.model_id.split()[0] == str(folder)
    assert adapted.model.model_id != plain.model.model_id
    change = adapted.model.features(views, "go") - plain.model.features(views, "go")
    assert np.abs(change).max() > 1e-3


def test_a_checkpoint_of_the_heads_alone_leaves_the_features(folder: Path, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "best.pt", lora=False)
    loaded = features_of(str(folder), checkpoint=str(checkpoint))
    assert loaded.model.model_id == features_of(str(folder)).model.model_id
    assert loaded.summary[1:] == (
        f"checkpoint {checkpoint} leaves the model's weights as they are",
    )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_policy_of_a_checkpoint_is_that_of_its_weights(fusion: str, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "best.pt", fusion=fusion)
    loaded = policy_of(HUB_MODEL, checkpoint=str(checkpoint), fusion_strategy=fusion)
    assert re.fullmatch(r"best\.pt [0-9a-f]{8} float32", loaded.model.model_id)
    assert loaded.summary[1] == f"window 65 x 1026, fusion {fusion}, chunk 8 x 7"
    assert f"checkpoint {checkpoint} (full): " in loaded.summary[2]
    assert loaded.summary[2].endswith("tensors loaded; not used: epoch, vl_model.* (2 tensors)")
    random = np.random.default_rng(0)
    features = random.normal(size=(1, 1, 64)).astype(np.float32)
    window = random.normal(size=(65, 1026)).astype(np.float32)
    tiny = policy_of("tiny", fusion_strategy=fusion).model
    np.testing.assert_array_equal(
        loaded.model.act(features, window).actions, tiny.act(features, window).actions
    )


def test_a_checkpoint_of_another_fusion_is_refused(tmp_path: Path) -> None:
    checkpoint = str(save_checkpoint(tmp_path / "best.pt", fusion="gated"))
    with pytest.raises(ModelError, match=r"'concat', but .* are those of 'gated'"):
        policy_of(HUB_MODEL, checkpoint=checkpoint)


def test_a_checkpoint_for_other_sensors_is_refused() -> None:
    with pytest.raises(ModelError, match=r"takes sensor samples of 17 numbers, .* sends 1026"):
        policy_of(HUB_MODEL, checkpoint=str(PARITY / "concat_stage1_T65.pt"))


def test_a_checkpoint_for_another_robot_is_refused(tmp_path: Path) -> None:
    encoder, _ = tiny_heads()
    expert = ActionExpert(vl_dim=64, sensor_dim=96, hidden=64, horizon=8, action_dim=6)
    parts = {"sensor_encoder": encoder.state_dict(), "action_expert": expert.state_dict()}
    torch.save(parts, tmp_path / "six.pt")
    with pytest.raises(ModelError, match="gives 6 actions a step, not the 7 that are joint_1"):
        policy_of(HUB_MODEL, checkpoint=str(tmp_path / "six.pt"))


def test_a_missing_checkpoint_is_named(folder: Path) -> None:
    for load, model in ((features_of, str(folder)), (policy_of, HUB_MODEL)):
        with pytest.raises(ModelError, match=r"checkpoint /no/best\.pt does not exist"):
            load(model, checkpoint="/no/best.pt")


def test_it_is_warm_for_the_views_and_the_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def record(*arguments: Any) -> Captured:
        made.append(arguments)
        return Captured(*arguments)

    monkeypatch.setattr(features_module, "Captured", record)
    instruction = "a little further to the left"
    loaded = load_feature_model(
        "tiny", "", "cpu", "auto", views=2, instruction=instruction,
        torch_threads=1, stub_seconds=0.0,
    )  # fmt: skip
    warm = len(made)
    picture = np.zeros((720, 1280, 3), dtype=np.uint8)
    loaded.model.features([View(name, 0.0, picture) for name in "ab"], instruction)
    assert len(made) == warm == 2


@pytest.fixture
def float8_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By torch's emulation on the CPU."""
    monkeypatch.setattr("vla_inference_ros.model.linear.check_precision", lambda *_: None)


@pytest.mark.usefixtures("float8_allowed")
def test_float8_tells_how_far_its_features_are_from_bfloat16(folder: Path) -> None:
    loaded = features_of(str(folder), dtype="float8")
    *_, cosine = loaded.summary[-1].split()
    assert loaded.summary[-1] == f"float8: the cosine of a feature to that of bfloat16 is {cosine}"
    assert 0.9 < float(cosine) < 1


@pytest.mark.usefixtures("float8_allowed")
def test_float8_runs_where_bfloat16_does_not_fit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vision(module: object, device: torch.device, precision: str) -> VisionEncoder:
        if precision == "bfloat16":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return VisionEncoder(module, device, precision)

    monkeypatch.setattr(features_module, "VisionEncoder", vision)
    loaded = features_of(str(folder), dtype="float8")
    assert loaded.summary[-1].startswith("float8: its error is not known")

"""The doctor says of the VLM's part of a checkpoint what the node then does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from trained import ADAPTED, save_checkpoint, save_model

from vla_inference_ros.doctor.result import Result, Status
from vla_inference_ros.doctor.vlm_weights import (
    VlmCheckpoint,
    VlmCheckpointFacts,
    gather_vlm_checkpoint,
    vlm_checkpoint_fits,
)
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.load import load_feature_model

FACTOR = f"vl_model.base_model.model.model.{ADAPTED}.lora_A.default.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("vlm") / "model")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "best.pt")


def checked(asked: VlmCheckpoint) -> Result:
    return vlm_checkpoint_fits(gather_vlm_checkpoint(asked))


def said_by_node(asked: VlmCheckpoint) -> str:
    """What the node's loader says of it, or why it ends."""
    try:
        loaded = load_feature_model(
            asked.model,
            asked.checkpoint,
            "cpu",
            "float32",
            views=1,
            adapter_config=asked.adapter_config,
            lora_alpha=asked.lora_alpha,
            torch_threads=1,
            stub_seconds=0.0,
        )
    except ModelError as error:
        return str(error)
    return loaded.summary[1]


def write_config(folder: Path, **entries: object) -> str:
    (folder / "adapter_config.json").write_text(json.dumps(entries), encoding="utf-8")
    return str(folder / "adapter_config.json")


def test_it_tells_the_scale_that_the_node_takes(
    model: Path, checkpoint: Path, tmp_path: Path
) -> None:
    plain = VlmCheckpoint(str(model), str(checkpoint))
    result = checked(plain)
    assert (result.check, result.status) == ("checkpoint of vlm", Status.OK)
    assert result.finding == said_by_node(plain)
    assert "alpha 32, scale 2 (the training code's" in result.finding
    number = VlmCheckpoint(str(model), str(checkpoint), lora_alpha=8.0)
    assert checked(number).finding == said_by_node(number)
    assert "alpha 8, scale 0.5 (lora_alpha)" in checked(number).finding
    write_config(tmp_path, r=16, lora_alpha=16, use_rslora=True)
    assert checked(plain).finding == said_by_node(plain)
    assert "alpha 16, rank-stabilised scale 4 (" in checked(plain).finding


@pytest.mark.parametrize(
    ("case", "said", "remedy"),
    [
        ("other rank", "LoRA of rank 4, and nothing says", "adapter_config:="),
        ("other file", "have other ranks than", "adapter_config:="),
        ("two alphas", "lora_alpha is 8, but", "lora_alpha:="),
        ("dora", "use_dora True, which is more than plain LoRA", "adapter_config:="),
        ("other layer", "for layers that the model does not have", "with model:= the VLM"),
        ("other width", "do not fit the model", "with model:= the VLM"),
        ("nan", "NaN or infinite numbers", "with model:= the VLM"),
        (
            "no checkpoint",
            "for the LoRA of a checkpoint, and there is none",
            "leave adapter_config:=",
        ),
        ("protocol", "pickle_protocol=4", "without pickle_protocol"),
        ("cut", "is cut short", "copy the file again"),
    ],
)
def test_what_the_node_would_refuse_is_a_problem_in_its_words(
    model: Path, checkpoint: Path, tmp_path: Path, case: str, said: str, remedy: str
) -> None:
    state = torch.load(checkpoint, weights_only=True)["model_state_dict"]
    up = FACTOR.replace("lora_A", "lora_B")
    if case == "other rank":
        state |= {FACTOR: state[FACTOR][:4], up: state[up][:, :4]}
    elif case == "other file":
        write_config(tmp_path, r=8, lora_alpha=8)
    elif case == "two alphas":
        write_config(tmp_path, r=16, lora_alpha=16)
    elif case == "dora":
        write_config(tmp_path, r=16, lora_alpha=16, use_dora=True)
    elif case == "other layer":
        state = {name.replace("layers.1", "layers.7"): part for name, part in state.items()}
    elif case == "other width":
        state[FACTOR] = state[FACTOR][:, :8]
    elif case == "nan":
        state[FACTOR][0, 0] = float("nan")
    protocol = 4 if case == "protocol" else 2
    torch.save({"model_state_dict": state}, checkpoint, pickle_protocol=protocol)
    if case == "cut":
        checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    asked = VlmCheckpoint(
        str(model),
        "" if case == "no checkpoint" else str(checkpoint),
        lora_alpha=8.0 if case in ("two alphas", "no checkpoint") else 0.0,
    )
    result = checked(asked)
    assert result.status is Status.PROBLEM
    assert said in result.finding
    assert remedy in result.remedy
    assert result.finding == said_by_node(asked)


def test_heads_alone_leave_the_vlm_as_it_is(model: Path, tmp_path: Path) -> None:
    heads = save_checkpoint(tmp_path / "heads.pt", lora=False)
    asked = VlmCheckpoint(str(model), str(heads))
    assert checked(asked).finding == said_by_node(asked)
    assert checked(asked).finding.endswith("leaves the model's weights as they are")


def test_without_the_model_its_names_and_shapes_are_said_to_be_open(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    result = checked(VlmCheckpoint("Somebody/Qwen2.5-VL-Nowhere", str(checkpoint)))
    assert result.status is Status.OK
    assert "alpha 32, scale 2" in result.finding
    assert result.finding.endswith("whether it fits the model is known once that is here")


def test_a_checkpoint_for_tiny_is_a_problem(checkpoint: Path) -> None:
    result = checked(VlmCheckpoint("tiny", str(checkpoint)))
    assert result.status is Status.PROBLEM
    assert "does not go with model:=tiny" in result.finding
    assert "leave checkpoint:= out" in result.remedy


def test_nothing_is_asked_for_without_a_checkpoint_and_settings() -> None:
    assert not VlmCheckpoint("tiny", "").is_asked_for
    assert VlmCheckpoint("tiny", "", lora_alpha=8.0).is_asked_for


def test_packages_that_lack_are_said() -> None:
    result = vlm_checkpoint_fits(VlmCheckpointFacts(unchecked="ImportError: transformers"))
    assert result.status is Status.SKIPPED
    assert "ImportError: transformers" in result.finding

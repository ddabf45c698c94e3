"""The state dicts are those of real PEFT models, and what must come out is PEFT's own merge."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import PARITY
from torch import Tensor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLModel,
)

from vla_inference_ros.model.checkpoint import load_vl_state
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.lora import merge_vl_state
from vla_inference_ros.model.tiny import byte_tokenizer, vision_language_model

peft = pytest.importorskip("peft", reason="the merge is compared with peft's own")
BASE: Any = vision_language_model(byte_tokenizer())
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
LAYER = "language_model.layers.0.self_attn.q_proj"
State = dict[str, Tensor]


def another(scale: float = 0.02) -> Any:
    """The same architecture with other weights."""
    model = copy.deepcopy(BASE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def whole(model: Any) -> Any:
    """The model with its language-model head."""
    whole = Qwen2_5_VLForConditionalGeneration(model.config).eval()
    whole.model.load_state_dict(model.state_dict())
    return whole


def adapted(model: Any, **options: Any) -> Any:
    """The model under PEFT as the training code sets it up, with random adapters."""
    settings = {"r": 16, "lora_alpha": 32, "target_modules": ATTENTION, "lora_dropout": 0.05}
    torch.manual_seed(2)
    return peft.get_peft_model(
        model, peft.LoraConfig(**{**settings, "init_lora_weights": False, **options})
    )


def merged_by_peft(peft_model: Any) -> State:
    model = copy.deepcopy(peft_model).merge_and_unload()
    inner = model if isinstance(model, Qwen2_5_VLModel) else model.model
    state: State = inner.state_dict()
    return state


def as_older_transformers(state: State) -> State:
    return {
        name.replace("model.visual.", "visual.").replace("model.language_model.", "model."): tensor
        for name, tensor in state.items()
    }


def as_newer_transformers(state: State) -> State:
    return state


def state_of(model: Any) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_holds(model: Any, expected: State, tolerance: float = 1e-6) -> None:
    found = model.state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=tolerance, rtol=0, msg=name)


@pytest.fixture
def model() -> Any:
    return copy.deepcopy(BASE)


@pytest.fixture
def lora() -> State:
    """The state dict of a PEFT model with its head, base and adapters."""
    return state_of(adapted(whole(another())))


@pytest.fixture
def refused(model: Any) -> Callable[[State], str]:
    """Expects a state to be refused and the model to stay as it is; returns the message."""

    def refuse(state: State) -> str:
        before = state_of(model)
        with pytest.raises(ModelError) as error:
            merge_vl_state(model, state)
        assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
        assert "\n" not in str(error.value)
        return str(error.value)

    return refuse


@pytest.mark.parametrize("names", [as_newer_transformers, as_older_transformers])
def test_base_and_lora(model: Any, names: Callable[[State], State]) -> None:
    trained = adapted(whole(another()))
    state = names(trained.state_dict())
    assert any(".base_layer." in name for name in state)
    report = merge_vl_state(model, state)
    assert_holds(model, merged_by_peft(trained))
    assert report.base
    assert len(report.adapted) == 2 * len(ATTENTION)
    assert report.ranks == (16,)
    assert report.ignored == ("base_model.model.lm_head.weight",)
    assert str(report) == (
        "all weights of the VLM replaced; LoRA of rank 16 merged into 8 layers with alpha 32, "
        "scale 2 (the training code's, as no adapter_config.json says another); not used: "
        "base_model.model.lm_head.weight"
    )


def test_base_and_lora_without_a_head(model: Any) -> None:
    trained = adapted(another())
    report = merge_vl_state(model, trained.state_dict())
    assert_holds(model, merged_by_peft(trained))
    assert report.ignored == ()


@pytest.mark.parametrize("names", [as_newer_transformers, as_older_transformers])
@pytest.mark.parametrize("whole_state", [True, False])
def test_lora_alone(model: Any, names: Callable[[State], State], whole_state: bool) -> None:
    trained = adapted(whole(copy.deepcopy(BASE)))
    if whole_state:
        state = {name: part for name, part in trained.state_dict().items() if "lora_" in name}
        assert any(".lora_A.default." in name for name in state)
    else:
        state = peft.get_peft_model_state_dict(trained)
        assert any(name.endswith(".lora_A.weight") for name in state)
    report = merge_vl_state(model, names(state))
    assert_holds(model, merged_by_peft(trained))
    assert not report.base
    assert str(report).startswith("LoRA of rank 16 merged into 8 layers with alpha 32, scale 2 (")


@pytest.mark.parametrize("names", [as_newer_transformers, as_older_transformers])
def test_plain_weights(model: Any, names: Callable[[State], State]) -> None:
    other = another()
    report = merge_vl_state(model, names(whole(other).state_dict()))
    assert_holds(model, other.state_dict(), tolerance=0)
    assert str(report) == "all weights of the VLM replaced; not used: lm_head.weight"


def test_plain_weights_without_a_head(model: Any) -> None:
    other = another()
    merge_vl_state(model, other.state_dict())
    assert_holds(model, other.state_dict(), tolerance=0)


def test_into_bfloat16(model: Any) -> None:
    trained = adapted(another())
    model.to(torch.bfloat16)
    merge_vl_state(model, trained.state_dict())
    expected = {name: part.to(torch.bfloat16) for name, part in merged_by_peft(trained).items()}
    assert_holds(model, expected, tolerance=0.005)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    exact = model.state_dict()["language_model.norm.weight"]
    assert torch.equal(exact, expected["language_model.norm.weight"])


def test_from_bfloat16(model: Any) -> None:
    trained = adapted(another().to(torch.bfloat16))
    merge_vl_state(model, trained.state_dict())
    assert_holds(model, {k: v.float() for k, v in merged_by_peft(trained).items()}, 0.01)


def test_the_merged_model_computes_what_the_trained_one_does(model: Any) -> None:
    trained = adapted(another()).eval()
    merge_vl_state(model, trained.state_dict())
    ids = torch.arange(20).unsqueeze(0)
    with torch.inference_mode():
        expected = trained(input_ids=ids).last_hidden_state
        found = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_through_a_checkpoint(model: Any, tmp_path: Path) -> None:
    trained = adapted(whole(another()))
    state = {f"module.vl_model.{name}": part for name, part in trained.state_dict().items()}
    torch.save({"model_state_dict": state}, tmp_path / "best.pt")
    before = (tmp_path / "best.pt").read_bytes()
    merge_vl_state(model, load_vl_state(tmp_path / "best.pt"))
    assert_holds(model, merged_by_peft(trained))
    assert (tmp_path / "best.pt").read_bytes() == before


def test_nothing_for_the_model(model: Any) -> None:
    assert str(merge_vl_state(model, {})) == "nothing for the VLM"
    report = merge_vl_state(model, {"lm_head.weight": torch.zeros(2)})
    assert str(report) == "not used: lm_head.weight"
    assert_holds(model, BASE.state_dict(), tolerance=0)


def test_a_partial_base_is_refused(refused: Callable[[State], str], lora: State) -> None:
    del lora["base_model.model.model.visual.blocks.0.attn.qkv.weight"]
    message = refused(lora)
    assert "neither all nor only LoRA: 1 of 56 lack, visual.blocks.0.attn.qkv.weight" in message


def test_the_base_that_the_fixtures_hold_is_refused(refused: Callable[[State], str]) -> None:
    message = refused(load_vl_state(PARITY / "concat_full_T50.pt"))
    assert "neither all nor only LoRA: 55 of 56 lack" in message
    assert "and 47 more" in message


def test_weights_of_another_model_are_refused(refused: Callable[[State], str], lora: State) -> None:
    lora["base_model.model.model.language_model.layers.2.mlp.up_proj.weight"] = torch.zeros(2, 2)
    assert "also has language_model.layers.2.mlp.up_proj.weight" in refused(lora)


def test_adapters_of_another_model_are_refused(refused: Callable[[State], str]) -> None:
    state = {f"model.layers.7.q_proj.lora_{side}.weight": torch.zeros(2, 2) for side in "AB"}
    assert "does not have: language_model.layers.7.q_proj" in refused(state)


@pytest.mark.parametrize(
    "options",
    [{"use_dora": True}, {"modules_to_save": ["norm"]}, {"lora_bias": True}],
    ids=lambda options: next(iter(options)),
)
def test_what_is_more_than_lora_is_refused(
    refused: Callable[[State], str], options: dict[str, Any]
) -> None:
    message = refused(state_of(adapted(another(), **options)))
    assert "are not plain LoRA: base_model.model." in message
    assert any(word in message for word in ("magnitude", "modules_to_save", "lora_B.default.bias"))


def test_two_adapters_are_refused(refused: Callable[[State], str]) -> None:
    trained = adapted(another())
    trained.add_adapter("second", peft.LoraConfig(r=4, target_modules=ATTENTION))
    assert "2 LoRA adapters (default, second): save only one" in refused(state_of(trained))


@pytest.mark.parametrize("side", ["A", "B"])
def test_half_an_adapter_is_refused(
    refused: Callable[[State], str], lora: State, side: str
) -> None:
    del lora[f"base_model.model.model.{LAYER}.lora_{side}.default.weight"]
    assert f"lora_A or lora_B, not both, of {LAYER}" in refused(lora)


@pytest.mark.parametrize(
    ("side", "shape"),
    [
        ("A", (8, 64)),
        ("A", (16, 32)),
        ("A", (0, 64)),
        ("A", (16,)),
        ("B", (32, 16)),
        ("B", (64, 16, 1)),
    ],
)
def test_adapters_of_other_shapes_are_refused(
    refused: Callable[[State], str], lora: State, side: str, shape: tuple[int, ...]
) -> None:
    lora[f"base_model.model.model.{LAYER}.lora_{side}.default.weight"] = torch.zeros(shape)
    message = refused(lora)
    assert f"{LAYER} is (64, 64), its lora_A" in message
    assert str(shape) in message


def test_weights_of_other_shapes_are_refused(refused: Callable[[State], str], lora: State) -> None:
    lora["base_model.model.model.language_model.norm.weight"] = torch.zeros(65)
    assert "language_model.norm.weight is (65,), not (64,)" in refused(lora)


def test_a_name_that_is_there_twice_is_refused(
    refused: Callable[[State], str], lora: State
) -> None:
    lora["base_model.model.model.norm.weight"] = torch.zeros(64)
    message = refused(lora)
    assert "have language_model.norm.weight twice, as " in message
    for name in ("model.norm.weight", "model.language_model.norm.weight"):
        assert f"base_model.model.{name}" in message


@pytest.mark.parametrize("name", ["norm.weight", "layers.0.self_attn.q_proj.lora_A.default.weight"])
def test_numbers_that_are_none_are_refused(
    refused: Callable[[State], str], lora: State, name: str
) -> None:
    lora[f"base_model.model.model.language_model.{name}"].view(-1)[3] = float("nan")
    message = refused(lora)
    assert "NaN or infinite numbers: language_model." in message


def test_quantised_weights_are_refused(refused: Callable[[State], str], lora: State) -> None:
    name = "base_model.model.model.language_model.norm.weight"
    lora[name] = lora[name].to(torch.int8)
    assert "not plain floating point: language_model.norm.weight" in refused(lora)
    lora[name] = torch.ones(64).to(torch.float8_e4m3fn)
    assert "not plain floating point: language_model.norm.weight" in refused(lora)

"""What training wraps networks and state dicts in comes off; a name that is there twice is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from parity import assert_reproduces, flat, message_of, parts_of, refusal
from safetensors.torch import save_file

from vla_inference_ros.model.checkpoint import load_policy_heads, load_vl_state
from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.parts import plain_name, read_parts

CASES = Path(__file__).parent.parent / "data" / "ckpt"
WRAPPERS = [
    "_orig_mod.",
    "module.",
    "_orig_mod.module.",
    "module._orig_mod.",
    "module.module._orig_mod._orig_mod.",
    "_fsdp_wrapped_module.",
    "_orig_mod._fsdp_wrapped_module._checkpoint_wrapped_module.",
]
VL = "model.language_model.norm.weight"


def written(path: Path, state: dict[str, Any]) -> Path:
    """The state dict in a file of the suffix's kind."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"model_state_dict": state}, path)
    return path


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", ["best.pt", "best.safetensors"])
def test_wrappers_come_off_in_any_order_and_number(tmp_path: Path, wrapper: str, name: str) -> None:
    state = {**flat(parts_of(), wrapper), f"{wrapper}vl_model.{wrapper}{VL}": torch.ones(3)}
    path = written(tmp_path / name, state)
    assert_reproduces(load_policy_heads(path), "concat_stage1_T65")
    assert load_vl_state(path).keys() == {VL}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_come_off_layers_and_dicts_of_one_network(tmp_path: Path, wrapper: str) -> None:
    parts = {
        f"{wrapper}{part}": {
            name.replace(".", f".{wrapper}", 1): tensor for name, tensor in state.items()
        }
        for part, state in parts_of().items()
    }
    torch.save({**parts, f"{wrapper}vl_model": {VL: torch.ones(3)}}, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert heads.state_report.shape == "stage1"
    assert load_vl_state(tmp_path / "best.pt").keys() == {VL}


def test_real_wrappers_come_off() -> None:
    inner: Any = torch.compile(torch.nn.DataParallel(torch.nn.Linear(2, 2)))
    wrapped: Any = torch.nn.DataParallel(torch.nn.Sequential(inner))
    assert set(wrapped.state_dict()) == {
        f"module.0._orig_mod.module.{name}" for name in ("weight", "bias")
    }
    assert {plain_name(name) for name in wrapped.state_dict()} == {"0.weight", "0.bias"}


@pytest.mark.parametrize("container", ["model_state_dict", "state_dict", "model", "module"])
@pytest.mark.parametrize("inside", ["names", "dicts"])
@pytest.mark.parametrize("outer", ["", "state_dict"])
def test_a_state_dict_under_a_key(tmp_path: Path, container: str, inside: str, outer: str) -> None:
    state = flat(parts_of()) if inside == "names" else parts_of()
    content: dict[str, Any] = {container: {**state, f"vl_model.{VL}": torch.ones(3)}}
    if outer and outer != container:
        content = {outer: content}
    torch.save({**content, "epoch": 3, "optimizer": {"state": {}}}, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert heads.state_report.shape == ("full" if inside == "names" else "stage1")
    assert set(heads.state_report.ignored) == {"epoch", "optimizer", "vl_model.* (1 tensors)"}
    assert load_vl_state(tmp_path / "best.pt").keys() == {VL}


def test_lightnings_attribute_comes_off(tmp_path: Path) -> None:
    torch.save({"state_dict": flat(parts_of(), "model._orig_mod.")}, tmp_path / "best.ckpt")
    assert_reproduces(load_policy_heads(tmp_path / "best.ckpt"), "concat_stage1_T65")


@pytest.mark.parametrize("name", ["orig_mod", "state_dict_key"])
def test_the_cases_hold_the_weights_of_the_plain_one(name: str) -> None:
    expected, found = (read_parts(CASES / f"{each}.pt").states for each in ("plain", name))
    for part in ("sensor_encoder", "action_expert"):
        assert found[part].keys() == expected[part].keys()
        assert all(torch.equal(found[part][key], expected[part][key]) for key in expected[part])
    load_policy_heads(CASES / f"{name}.pt")


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ("module.action_expert.pos_embed", "module.action_expert.pos_embed"),
        ("action_expert._orig_mod.pos_embed", "action_expert._orig_mod.pos_embed"),
        ("_fsdp_wrapped_module.action_expert.pos_embed", "_fsdp_wrapped_module.action_expert"),
    ],
)
def test_two_names_that_become_one_are_both_named(tmp_path: Path, other: str, said: str) -> None:
    state = {**flat(parts_of()), other: torch.zeros(1, 8, 48)}
    message = refusal(tmp_path, state)
    assert f"has pos_embed twice, as action_expert.pos_embed and as {said}" in message
    message = refusal(tmp_path, {"model_state_dict": state})
    assert "as model_state_dict: action_expert.pos_embed and as model_state_dict: " in message


def test_two_dicts_of_one_network_are_both_named(tmp_path: Path) -> None:
    parts = parts_of()
    message = refusal(tmp_path, {**parts, "module.action_expert": parts["action_expert"]})
    assert "twice, as action_expert: " in message
    assert " and as module.action_expert: " in message


def test_two_containers_of_one_network_are_both_named(tmp_path: Path) -> None:
    state = flat(parts_of())
    message = refusal(tmp_path, {"state_dict": state, "model": state})
    assert "twice, as state_dict: sensor_encoder." in message
    assert " and as model: sensor_encoder." in message


def test_two_names_of_the_vlm_that_become_one_are_both_named(tmp_path: Path) -> None:
    state = {f"vl_model.{VL}": torch.ones(3), f"module.vl_model.{VL}": torch.ones(3)}
    torch.save(state, tmp_path / "best.pt")
    with pytest.raises(ModelError) as error:
        load_vl_state(tmp_path / "best.pt")
    assert f"as vl_model.{VL} and as module.vl_model.{VL}: save one" in str(error.value)


@pytest.mark.parametrize("wrapper", ["", "_orig_mod.module."])
@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_model.bin"])
def test_a_file_of_the_vlm_alone_is_the_vlms(tmp_path: Path, name: str, wrapper: str) -> None:
    """As PEFT saves adapters, and transformers a model."""
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    state = {f"{wrapper}{key}": torch.ones(2, 3), f"{wrapper}visual.norm.weight": torch.ones(3)}
    path = tmp_path / name
    if path.suffix == ".bin":
        torch.save(state, path)
    else:
        save_file(state, path)
    assert load_vl_state(path).keys() == {key, "visual.norm.weight"}
    assert "has no sensor_encoder" in message_of(path)


def test_a_second_model_beside_the_vlm_is_refused(tmp_path: Path) -> None:
    state = {"vl_model.visual.norm.weight": torch.ones(3), "visual.norm.weight": torch.ones(3)}
    torch.save(state, tmp_path / "best.pt")
    with pytest.raises(ModelError, match=r"a second one beside it, visual\.norm\.weight and so on"):
        load_vl_state(tmp_path / "best.pt")

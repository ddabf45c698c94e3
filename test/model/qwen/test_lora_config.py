"""LoRA's scale is what the training said, and nothing is assumed where it said nothing fitting."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.qwen.changes import read_changes
from vla_inference_ros.model.qwen.lora import check_vl_state, merge_vl_state
from vla_inference_ros.model.qwen.lora_config import find_lora_config, read_lora_config
from vla_inference_ros.model.tiny import byte_tokenizer, vision_language_model

peft = pytest.importorskip("peft", reason="the scales are compared with peft's own")
BASE: Any = vision_language_model(byte_tokenizer())
Q, DOWN = "language_model.layers.0.self_attn.q_proj", "language_model.layers.1.mlp.down_proj"
MORE = ["q_proj", "v_proj", "qkv", "down_proj"]


def trained(**options: Any) -> Any:
    """The small model under PEFT with random adapters."""
    settings = {"r": 16, "lora_alpha": 32, "target_modules": ["q_proj", "v_proj"]}
    torch.manual_seed(2)
    model = copy.deepcopy(BASE)
    return peft.get_peft_model(
        model, peft.LoraConfig(**{**settings, "init_lora_weights": False, **options})
    )


def saved(folder: Path, model: Any, name: str = "best.pt") -> str:
    """The adapters as training code saves them, with PEFT's own file beside them."""
    folder.mkdir(exist_ok=True)
    state = {f"vl_model.{key}": part for key, part in model.state_dict().items() if "lora_" in key}
    torch.save({"model_state_dict": state}, folder / name)
    model.peft_config["default"].save_pretrained(folder)
    return str(folder / name)


def config_file(folder: Path, **entries: Any) -> Path:
    file = folder / "adapter_config.json"
    file.write_text(
        json.dumps({"peft_type": "LORA", "r": 16, "lora_alpha": 32, **entries}), encoding="utf-8"
    )
    return file


def refusal(file: Path) -> str:
    with pytest.raises(ModelError) as error:
        read_lora_config(file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    return str(error.value)


def adapters(*ranks: int) -> dict[str, Tensor]:
    """Adapters of the first layers' q_proj, of these ranks."""
    state = {}
    for number, rank in enumerate(ranks):
        layer = f"base_model.model.language_model.layers.{number}.self_attn.q_proj"
        state[f"{layer}.lora_A.default.weight"] = torch.ones(rank, 64)
        state[f"{layer}.lora_B.default.weight"] = torch.ones(64, rank)
    return state


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lora_alpha": 16}, "rank 16 merged into 4 layers with alpha 16, scale 1 ("),
        ({"r": 8, "lora_alpha": 8}, "rank 8 merged into 4 layers with alpha 8, scale 1 ("),
        ({"r": 4, "lora_alpha": 1}, "with alpha 1, scale 0.25 ("),
        ({"use_rslora": True}, "with alpha 32, rank-stabilised scale 8 ("),
        (
            {"target_modules": MORE, "rank_pattern": {"down_proj": 2, "qkv": 4}},
            "rank 2 and 4 and 16 merged into 10 layers with alpha 32, scale 2 and 8 and 16 (",
        ),
        (
            {"target_modules": MORE, "alpha_pattern": {"layers.0.self_attn.q_proj": 8}},
            "with alpha 8 and 32, scale 0.5 and 2 (",
        ),
        (
            {
                "target_modules": MORE,
                "alpha_pattern": {r"layers\.\d+\.self_attn\.[qv]_proj": 12},
                "rank_pattern": {f"^{DOWN}": 3, "down_proj": 5},
            },
            "rank 3 and 5 and 16 merged into 10 layers with alpha 12 and 32, ",
        ),
        (
            {"use_rslora": True, "rank_pattern": {"v_proj": 4}, "alpha_pattern": {"v_proj": 10}},
            "with alpha 10 and 32, rank-stabilised scale 5 and 8 (",
        ),
    ],
)
def test_the_file_beside_the_checkpoint_gives_pefts_own_merge(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    model = trained(**options)
    checkpoint = saved(tmp_path, model)
    found = copy.deepcopy(BASE)
    report = read_changes(checkpoint).apply(found)
    assert said in report
    assert f"({tmp_path / 'adapter_config.json'})" in report
    expected = copy.deepcopy(model).merge_and_unload().state_dict()
    for name, tensor in found.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=0, msg=name)
    assert any(not torch.equal(part, BASE.state_dict()[name]) for name, part in expected.items())


def test_pefts_own_folder_is_a_checkpoint(tmp_path: Path) -> None:
    model = trained(r=8, lora_alpha=24)
    model.save_pretrained(tmp_path)
    found = copy.deepcopy(BASE)
    report = read_changes(str(tmp_path / "adapter_model.safetensors")).apply(found)
    assert "LoRA of rank 8 merged into 4 layers with alpha 24, scale 3" in report
    expected = copy.deepcopy(model).merge_and_unload().state_dict()
    torch.testing.assert_close(found.state_dict()[f"{Q}.weight"], expected[f"{Q}.weight"])


def test_the_file_beside_what_a_link_leads_to_counts(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "run7", trained(lora_alpha=16))
    (tmp_path / "best.pt").symlink_to(checkpoint)
    told = read_changes(str(tmp_path / "best.pt")).check(None)
    assert told.endswith(f"alpha 16, scale 1 ({tmp_path / 'run7' / 'adapter_config.json'})")


def test_a_parameter_names_the_file_or_says_alpha(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "there", trained(r=8, lora_alpha=24))
    elsewhere = tmp_path / "lora.json"
    (tmp_path / "there" / "adapter_config.json").rename(elsewhere)
    with pytest.raises(ModelError) as error:
        read_changes(checkpoint).check(None)
    assert "LoRA of rank 8, and nothing says their alpha" in str(error.value)
    assert "put the adapter_config.json of the training beside the checkpoint, or" in str(
        error.value
    )
    by_file = read_changes(checkpoint, adapter_config=str(elsewhere)).check(None)
    assert by_file.endswith(f"with alpha 24, scale 3 ({elsewhere})")
    by_number = read_changes(checkpoint, lora_alpha=24.0).check(None)
    assert by_number.endswith("with alpha 24, scale 3 (lora_alpha)")
    both = read_changes(checkpoint, str(elsewhere), 24.0).check(None)
    assert both == by_file
    with pytest.raises(ModelError, match=r"lora_alpha is 16, but .*lora\.json says 24: leave"):
        read_changes(checkpoint, str(elsewhere), 16.0)


def test_without_settings_only_the_training_codes_rank_is_known() -> None:
    report = check_vl_state(adapters(16, 16), None)
    assert "with alpha 32, scale 2 (the training code's, as no adapter_config.json" in str(report)
    for ranks in ((8,), (16, 8), (32, 64)):
        with pytest.raises(ModelError, match="nothing says their alpha") as error:
            check_vl_state(adapters(*ranks), BASE.state_dict())
        assert "known to be 32 for rank 16 alone" in str(error.value)


def test_alpha_alone_holds_for_all_ranks() -> None:
    model = copy.deepcopy(BASE)
    report = merge_vl_state(model, adapters(4, 2), find_lora_config("", "", 20.0))
    assert "rank 2 and 4 merged into 2 layers with alpha 20, scale 5 and 10 (" in str(report)
    for number, scale, rank in ((0, 5.0, 4), (1, 10.0, 2)):
        name = f"language_model.layers.{number}.self_attn.q_proj.weight"
        change = model.state_dict()[name] - BASE.state_dict()[name]
        torch.testing.assert_close(change, torch.full((64, 64), scale * rank))


def test_ranks_other_than_the_file_says_are_refused(tmp_path: Path) -> None:
    config = read_lora_config(config_file(tmp_path, rank_pattern={"layers.1.self_attn.q_proj": 4}))
    check_vl_state(adapters(16, 4), None, config)
    with pytest.raises(ModelError, match=r"have other ranks than .*json says") as error:
        check_vl_state(adapters(16, 8), None, config)
    assert "language_model.layers.1.self_attn.q_proj 8, not 4; give the file" in str(error.value)


@pytest.mark.parametrize("pattern", ["rank_pattern", "alpha_pattern"])
def test_a_pattern_of_no_layer_is_refused(tmp_path: Path, pattern: str) -> None:
    config = read_lora_config(config_file(tmp_path, **{pattern: {"model.layers.0.q_proj": 4}}))
    with pytest.raises(ModelError, match=rf"a {pattern} for model.layers.0.q_proj, which no"):
        check_vl_state(adapters(16), None, config)


def test_two_alphas_of_one_layer_are_refused(tmp_path: Path) -> None:
    """PEFT takes the first, but sorts them when it writes the file."""
    patterns = {"self_attn.q_proj": 8, "q_proj": 16}
    model = trained(target_modules=["q_proj"], alpha_pattern=patterns)
    with pytest.raises(
        ModelError, match=r"has 2 alphas for .*q_proj by its .* \(8, 16\), and which"
    ):
        read_changes(saved(tmp_path, model)).check(None)
    config = read_lora_config(config_file(tmp_path, alpha_pattern=dict.fromkeys(patterns, 8)))
    assert "alpha 8, scale 0.5 (" in str(check_vl_state(adapters(16), None, config))


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"use_dora": True}, "has use_dora True, which is more than plain LoRA: merge it"),
        ({"fan_in_fan_out": True}, "has fan_in_fan_out True, which is more than plain LoRA"),
        ({"modules_to_save": ["norm"]}, "has modules_to_save ['norm'], which is more"),
        ({"lora_bias": True}, "has lora_bias True"),
        ({"a_new_way": {"of": "it"}}, "has a_new_way {'of': 'it'}, which is more"),
        ({"init_lora_weights": "mica"}, "has init_lora_weights 'mica', which is more"),
        ({"peft_type": "IA3"}, "is of peft_type IA3, not LORA"),
        ({"lora_alpha": None}, "has no lora_alpha, not a number over 0"),
        ({"lora_alpha": 0}, "has 0 as lora_alpha"),
        ({"lora_alpha": "16"}, "has '16' as lora_alpha"),
        ({"lora_alpha": True}, "has True as lora_alpha"),
        ({"lora_alpha": float("nan")}, "has nan as lora_alpha"),
        ({"r": 8.0}, "has 8.0 as r, not a whole number over 0"),
        ({"r": -1}, "has -1 as r"),
        ({"use_rslora": "false"}, "has use_rslora 'false', not true or false"),
        ({"rank_pattern": {"q_proj": 0}}, "has 0 as rank_pattern of q_proj"),
        ({"alpha_pattern": {"q_proj": None}}, "has no alpha_pattern of q_proj"),
        ({"alpha_pattern": ["q_proj"]}, "has a alpha_pattern that is a list"),
        ({"alpha_pattern": {"q_proj)": 3}}, "is no regular expression"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_is_more_than_lora_or_no_setting_is_refused(
    tmp_path: Path, entries: dict[str, Any], said: str
) -> None:
    assert said in refusal(config_file(tmp_path, **entries))


def test_what_pefts_file_says_by_default_is_taken(tmp_path: Path) -> None:
    peft.LoraConfig(r=16, lora_alpha=32, target_modules=["q_proj"]).save_pretrained(tmp_path)
    config = read_lora_config(tmp_path / "adapter_config.json")
    assert (config.rank, config.alpha, config.needs_base) == (16, 32.0, ())


@pytest.mark.parametrize(
    "entries", [{"bias": "lora_only"}, {"init_lora_weights": "pissa_niter_4"}], ids=str
)
def test_what_changed_the_base_too_needs_it(tmp_path: Path, entries: dict[str, Any]) -> None:
    config = read_lora_config(config_file(tmp_path, **entries))
    said = "{} {!r}".format(*next(iter(entries.items())))
    with pytest.raises(ModelError, match="changed weights that the checkpoint does not") as error:
        check_vl_state(adapters(16), None, config)
    assert said in str(error.value)
    assert check_vl_state({**adapters(16), **BASE.state_dict()}, BASE.state_dict(), config).base


def test_files_that_are_none(tmp_path: Path) -> None:
    file = tmp_path / "adapter_config.json"
    for content, said in (
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"[]", "holds a list, not settings by name"),
    ):
        file.write_bytes(content)
        assert said in refusal(file)
    file.unlink()
    os.mkfifo(file)
    assert "it is a FIFO, not a file" in refusal(file)
    assert "No such file" in refusal(tmp_path / "absent.json")
    for name, said in (("~nosuchuser/lora.json", "cannot be looked for"), ("a" * 300, "be read")):
        with pytest.raises(ModelError, match=said):
            find_lora_config("best.pt", name, 0.0)
    for alpha in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ModelError, match="not a number over 0"):
            find_lora_config("best.pt", "", alpha)


def test_settings_without_lora_are_said_to_be_of_no_use(tmp_path: Path) -> None:
    torch.save({"sensor_encoder": {}}, tmp_path / "best.pt")
    (tmp_path / "adapter_config.json").write_text("{", encoding="utf-8")  # of no concern here
    told = read_changes(str(tmp_path / "best.pt")).check(None)
    assert told == f"checkpoint {tmp_path / 'best.pt'} leaves the model's weights as they are"
    told = read_changes(str(tmp_path / "best.pt"), lora_alpha=16).check(None)
    assert told.endswith("as they are; no LoRA that lora_alpha 16 could be of")


def test_numbers_beyond_the_dtypes_range_are_refused() -> None:
    model = copy.deepcopy(BASE).to(torch.float16)
    state = {name: tensor.clone() for name, tensor in adapters(16).items()}
    next(iter(state.values())).mul_(1e5)
    with pytest.raises(ModelError, match=r"q_proj.weight that torch.float16 cannot hold: choose"):
        merge_vl_state(model, state)
    base = {name: tensor.clone() for name, tensor in BASE.state_dict().items()}
    base["language_model.norm.weight"][0] = 1e5
    with pytest.raises(ModelError, match=r"norm.weight that torch.float16 cannot hold"):
        merge_vl_state(copy.deepcopy(BASE).to(torch.float16), base)


def test_the_model_that_an_adapter_was_trained_on_is_told(tmp_path: Path) -> None:
    """Adapters fit every model of the same size, and only a person knows a folder's contents."""
    file = config_file(tmp_path, base_model_name_or_path="Qwen/Other")
    report = check_vl_state(adapters(16), None, read_lora_config(file))
    assert f"({file}, trained on Qwen/Other)" in str(report)

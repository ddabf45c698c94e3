"""Folders as transformers saves them, and what is wrong with others."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ports import free_port
from safetensors.torch import load_file, save_file
from small_qwen import (
    CONFIG,
    INDEX,
    SMALL,
    TOKENIZER,
    WEIGHTS,
    assert_is_small,
    message_of,
    save_small,
    whole_model,
)

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, ModelError
from vla_inference_ros.model.qwen.hub import load_qwen
from vla_inference_ros.model.qwen.lora import merge_vl_state
from vla_inference_ros.model.qwen.prompt import tokenise
from vla_inference_ros.model.tiny import byte_tokenizer


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    for key, value in changes.items():
        outer, _, inner = key.rpartition("__")
        place = content[outer] if outer else content
        place[inner] = value
    file.write_text(json.dumps(content), encoding="utf-8")


def as_on_the_hub(name: str) -> str:
    return name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")


def as_in_memory(name: str) -> str:
    name = re.sub(r"^model\.", "model.language_model.", as_on_the_hub(name))
    return re.sub(r"^visual\.", "model.visual.", name)


@pytest.mark.parametrize("names", [as_on_the_hub, as_in_memory])
def test_both_names_of_the_whole_model(folder: Path, names: Callable[[str], str]) -> None:
    state = {names(name): tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    assert "lm_head.weight" in state
    assert names("model.norm.weight") in state
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    model, tokenizer = load_qwen(str(folder), torch.float32)
    assert_is_small(model)
    expected = tokenise(TOKENIZER, DEFAULT_INSTRUCTION, 2)
    assert torch.equal(tokenise(tokenizer, DEFAULT_INSTRUCTION, 2).ids, expected.ids)


def test_the_model_without_its_head(tmp_path: Path) -> None:
    SMALL.save_pretrained(tmp_path)
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    assert_is_small(load_qwen(str(tmp_path), torch.float32)[0])


def test_a_tied_head_in_shards_with_a_flat_config(tmp_path: Path) -> None:
    model = whole_model()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    TOKENIZER.save(str(tmp_path / "tokenizer.json"))
    assert (tmp_path / INDEX).exists()
    config = json.loads((tmp_path / CONFIG).read_text(encoding="utf-8"))
    text = config.pop("text_config")  # the hub's config has its entries at the top
    rope = text.pop("rope_parameters")
    text["rope_theta"] = rope["rope_theta"]
    text["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    vision = config["vision_config"]
    vision["in_chans"] = vision.pop("in_channels")
    del vision["model_type"], vision["rope_parameters"], text["model_type"]
    (tmp_path / CONFIG).write_text(
        json.dumps({**text, **config, "torch_dtype": "bfloat16"}), encoding="utf-8"
    )
    loaded: Any = load_qwen(str(tmp_path), torch.float32)[0]
    assert_is_small(loaded)
    assert loaded.config.text_config.rope_parameters["mrope_section"] == [4, 6, 6]
    assert loaded.config.text_config.rope_parameters["rope_theta"] == 1e6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_precision(folder: Path, dtype: torch.dtype) -> None:
    assert_is_small(load_qwen(str(folder), dtype)[0], dtype)


def test_numbers_beyond_float16_are_refused(folder: Path) -> None:
    state = {name: part.clone() for name, part in load_file(folder / WEIGHTS).items()}
    state["model.norm.weight"][2] = 1e5
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    load_qwen(str(folder), torch.bfloat16)
    with pytest.raises(ModelError, match=r"beyond torch.float16: language_model.norm.weight"):
        load_qwen(str(folder), torch.float16)


def test_a_relative_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    for model in ("model", "./model"):
        assert_is_small(load_qwen(model, torch.float32)[0])
    monkeypatch.setenv("HOME", str(folder.parent))
    assert_is_small(load_qwen("~/model", torch.float32)[0])


def test_a_merge_leaves_the_files(folder: Path) -> None:
    before = (folder / WEIGHTS).read_bytes()
    model = load_qwen(str(folder), torch.float32)[0]
    merge_vl_state(model, {name: tensor + 1 for name, tensor in SMALL.state_dict().items()})
    assert (folder / WEIGHTS).read_bytes() == before
    assert_is_small(load_qwen(str(folder), torch.float32)[0])


def test_truncation_and_padding_of_a_tokenizer_are_off(folder: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    loaded = load_qwen(str(folder), torch.float32)[1]
    assert len(loaded.encode("a needle").ids) == 8
    assert len(loaded.encode("a").ids) == 1


def test_folders_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is no folder: check the path, or give a hub id" in message_of(tmp_path / "absent")
    for model in ("./absent", "../absent", "~/absent-for-sure"):
        assert f"model {model} is no folder" in message_of(model)
    (tmp_path / "file").touch()
    assert "model file is no folder" in message_of("file")
    assert "model is empty: give a hub id such as Qwen/" in message_of("")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, "tokenizer.json"])
def test_missing_files_are_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in message_of(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    shutil.rmtree(folder)
    save_small(folder, max_shard_size="100KB")
    shard = min(folder.glob("model-*.safetensors"))
    shard.unlink()
    assert f"has no {shard.name}" in message_of(folder)
    (folder / INDEX).write_text("{}", encoding="utf-8")
    assert f"a broken {INDEX}" in message_of(folder)


def test_an_adapter_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    assert "has a PEFT adapter beside the model: merge it" in message_of(folder)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_refused(folder: Path, part: float) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(part * len(whole))])
    assert "are its files whole? copy or download them again" in message_of(folder)


@pytest.mark.parametrize("name", [CONFIG, "tokenizer.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "\udcff"])
def test_broken_files_are_refused(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(content.encode(errors="surrogateescape"))
    assert f"has a broken {name}" in message_of(folder)


def test_another_architecture_is_refused(folder: Path) -> None:
    edit(folder / CONFIG, model_type="qwen2_vl")
    assert "is of type 'qwen2_vl', not 'qwen2_5_vl'" in message_of(folder)
    (folder / CONFIG).write_text("{}", encoding="utf-8")
    assert "is of type None" in message_of(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patch_size", 16),
        ("spatial_merge_size", 1),
        ("temporal_patch_size", 1),
        ("window_size", 56),
    ],
)
def test_other_patches_are_refused(folder: Path, name: str, value: int) -> None:
    edit(folder / CONFIG, **{f"vision_config__{name}": value})
    assert f"has vision {name} {value}, only" in message_of(folder)


def test_other_attention_is_refused(folder: Path) -> None:
    edit(folder / CONFIG, text_config__layer_types=["full_attention", "sliding_attention"])
    assert "sliding-window attention" in message_of(folder)


def test_other_activations_and_rotary_embeddings_are_refused(folder: Path) -> None:
    edit(folder / CONFIG, text_config__hidden_act="gelu")
    assert "has activation gelu, not silu" in message_of(folder)
    edit(folder / CONFIG, text_config__hidden_act="silu", vision_config__hidden_act="relu")
    assert "has activation relu, not silu" in message_of(folder)
    rope = {
        "rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6, "mrope_section": [4, 6, 6],
        "original_max_position_embeddings": 4096,
    }  # fmt: skip
    edit(folder / CONFIG, vision_config__hidden_act="silu", text_config__rope_parameters=rope)
    assert "has rope_type yarn, only default is supported" in message_of(folder)


@pytest.mark.parametrize("name", ["~nosuchuser/model", "m" * 300])
def test_names_that_no_file_can_have_are_refused(name: str) -> None:
    assert "cannot be a folder or hub id" in message_of(name)


def test_quantised_weights_are_refused(folder: Path) -> None:
    edit(folder / CONFIG, quantization_config={"quant_method": "awq"})
    assert "is quantised" in message_of(folder)


def test_a_config_that_contradicts_itself_is_refused(folder: Path) -> None:
    edit(folder / CONFIG, text_config__num_attention_heads="two")
    assert "has a broken config.json" in message_of(folder)


def test_missing_unknown_and_other_weights_are_refused(folder: Path) -> None:
    state = load_file(folder / WEIGHTS)
    norm = state.pop("model.norm.weight")
    save_file(state, folder / WEIGHTS, {"format": "pt"})
    assert "lacks weights: model.language_model.norm.weight" in message_of(folder)
    save_file({**state, "model.norm.weight": torch.zeros(65)}, folder / WEIGHTS, {"format": "pt"})
    message = message_of(folder)
    assert "of other sizes than config.json says: model.language_model.norm.weight" in message
    extra = {"model.norm.weight": norm, "model.layers.2.extra.weight": torch.zeros(2)}
    save_file({**state, **extra}, folder / WEIGHTS, {"format": "pt"})
    assert re.search(r"weights of no layer: \S*layers\.2\.extra\.weight;", message_of(folder))


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    file = folder / "tokenizer.json"
    edit(folder / CONFIG, image_token_id=3)
    assert "<|image_pad|> is 261, config.json says 3" in message_of(folder)
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace("<|im_end|>", "<|end|>"), encoding="utf-8")
    assert "without the token <|im_end|>" in message_of(folder)
    file.write_text(content, encoding="utf-8")
    edit(folder / CONFIG, text_config__vocab_size=258)
    assert "<|im_end|> is 258, there are 258 embeddings" in message_of(folder)


def test_a_folder_is_loaded_quietly_and_without_a_network(folder: Path) -> None:
    code = (
        "import torch; from vla_inference_ros.model.qwen.hub import *;"
        f"load_qwen({str(folder)!r}, torch.bfloat16)"
    )
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert (out.stdout, out.stderr) == ("", "")

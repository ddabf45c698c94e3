"""What loads, but would give nothing that is of use, and settings of what is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_qwen import WEIGHTS
from trained import save_model

from vla_inference_ros.model.interface import ModelError
from vla_inference_ros.model.load import load_action_model, load_feature_model
from vla_inference_ros.model.tiny import tiny_heads

OPTIONS: dict[str, Any] = {"torch_threads": 1, "stub_seconds": 0.0}


def test_heads_that_give_no_numbers_are_refused(tmp_path: Path) -> None:
    encoder, expert = tiny_heads()
    parts = {"sensor_encoder": encoder.state_dict(), "action_expert": expert.state_dict()}
    parts["sensor_encoder"]["conv_backbone.1.running_var"].fill_(-1.0)
    torch.save(parts, tmp_path / "best.pt")
    with pytest.raises(ModelError, match="gives NaN or infinite actions for zeros: choose"):
        load_action_model("trained", str(tmp_path / "best.pt"), "cpu", "auto", "concat", **OPTIONS)


def test_a_vlm_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    model = save_model(tmp_path / "model")
    state = {name: part.clone() for name, part in load_file(model / WEIGHTS).items()}
    state["model.norm.weight"].fill_(3e38)  # a number, but not what it is multiplied with
    save_file(state, model / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="gives NaN or infinite features for a made-up picture"):
        load_feature_model(str(model), "", "cpu", "auto", views=1, **OPTIONS)


@pytest.mark.parametrize("given", [{"lora_alpha": 16.0}, {"adapter_config": "lora.json"}], ids=str)
def test_settings_of_lora_without_a_checkpoint_are_refused(given: dict[str, Any]) -> None:
    for model in ("tiny", "stub"):
        with pytest.raises(ModelError, match="for the LoRA of a checkpoint, and there is none"):
            load_feature_model(model, "", "cpu", "auto", **given, **OPTIONS)


def test_heads_beyond_float16s_range_are_refused(tmp_path: Path) -> None:
    encoder, expert = tiny_heads()
    parts = {"sensor_encoder": encoder.state_dict(), "action_expert": expert.state_dict()}
    parts["action_expert"]["fusion_proj.weight"].fill_(1e5)
    torch.save(parts, tmp_path / "best.pt")
    arguments = "trained", str(tmp_path / "best.pt"), "cpu"
    load_action_model(*arguments, "float32", "concat", **OPTIONS)
    with pytest.raises(ModelError, match=r"weights of up to 1e\+05, beyond float16's 65504"):
        load_action_model(*arguments, "float16", "concat", **OPTIONS)

"""What fits the heads and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from parity import PARITY, assert_reproduces, message_of, parts_of, refusal

from vla_inference_ros.model.checkpoint import load_policy_heads
from vla_inference_ros.model.interface import ModelError


@pytest.mark.parametrize(
    ("weights", "asked", "looks"),
    [
        ("concat", "gated", "'concat' or 'none'"),
        ("concat", "cross_attention", "'concat' or 'none'"),
        ("cross_attention", "concat", "'cross_attention'"),
        ("cross_attention", "gated", "'cross_attention'"),
        ("cross_attention", "none", "'cross_attention'"),
        ("gated", "concat", "'gated'"),
        ("gated", "cross_attention", "'gated'"),
        ("gated", "none", "'gated'"),
        ("none", "gated", "'concat' or 'none'"),
    ],
)
def test_another_fusion_is_refused(weights: str, asked: str, looks: str) -> None:
    message = message_of(PARITY / f"{weights}_stage1_T65.pt", asked)
    assert f"fusion_strategy is '{asked}'" in message
    assert f"keys and sizes are those of {looks} (" in message


def test_none_is_known_from_concat_where_the_tokens_are_narrow(tmp_path: Path) -> None:
    parts = parts_of("none")
    parts["action_expert"]["fusion_proj.weight"] = torch.zeros(32, 16)
    assert "fusion_strategy is 'concat', but" in refusal(tmp_path, parts)


@pytest.mark.parametrize(("weights", "asked"), [("concat", "none"), ("none", "concat")])
def test_where_they_are_wide_the_size_of_the_tokens_tells(weights: str, asked: str) -> None:
    heads = load_policy_heads(PARITY / f"{weights}_stage1_T65.pt", asked)
    with pytest.raises(ModelError, match=f"with fusion '{asked}' takes .*are the fusion and"):
        heads.predict(torch.zeros(1, 1, 32), None, torch.zeros(1, 24))


def test_tensors_that_do_not_fit(tmp_path: Path) -> None:
    parts = parts_of()
    parts["sensor_encoder"]["projection.1.bias"] = torch.zeros(23)
    parts["sensor_encoder"]["conv_backbone.4.weight"] = torch.zeros(32, 16, 5)
    message = refusal(tmp_path, parts)
    assert "projection.1.bias is (23,) floating point, not (24,) floating point" in message
    assert "conv_backbone.4.weight is (32, 16, 5) floating point, not (32, 16, 3)" in message
    parts = parts_of()
    parts["action_expert"]["output_head.1.bias"] = torch.zeros(7, dtype=torch.int8)
    assert "output_head.1.bias is (7,) torch.int8, not (7,) floating point" in refusal(
        tmp_path, parts
    )
    parts["action_expert"]["output_head.1.bias"] = 3.0
    assert "output_head.1.bias is a float, not (7,)" in refusal(tmp_path, parts)
    parts["action_expert"]["output_head.1.bias"] = torch.zeros(7).to_sparse()
    assert "output_head.1.bias" in refusal(tmp_path, parts)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("sensor_encoder", "conv_backbone.0.weight"),
        ("sensor_encoder", "transformer.layers.1.linear2.bias"),
        ("action_expert", "pos_embed"),
        ("action_expert", "gate.0.bias"),
        ("action_expert", "vl_proj.weight"),
        ("action_expert", "fusion_proj.bias"),
    ],
)
def test_missing_keys_are_named(tmp_path: Path, part: str, name: str) -> None:
    parts = parts_of("gated")
    del parts[part][name]
    message = refusal(tmp_path, parts, "gated")
    assert part in message
    assert name in message


def test_keys_of_no_layer_are_named(tmp_path: Path) -> None:
    parts = parts_of()
    parts["sensor_encoder"]["conv_backbone.16.weight"] = torch.zeros(3)
    parts["action_expert"]["temporal_decoder.layers.4.norm1.bias"] = torch.zeros(3)
    assert "has keys of no layer: conv_backbone.16.weight" in refusal(tmp_path, parts)
    del parts["sensor_encoder"]["conv_backbone.16.weight"]
    assert "no layer: temporal_decoder.layers.4.norm1.bias" in refusal(tmp_path, parts)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    parts = parts_of()
    parts["sensor_encoder"] = {
        name: tensor
        for name, tensor in parts["sensor_encoder"].items()
        if not name.startswith("transformer.")
    }
    assert "and 16 more" in refusal(tmp_path, parts)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: float) -> None:
    parts = parts_of()
    parts["action_expert"]["output_head.1.bias"][3] = value
    assert "action_expert has NaN or infinite numbers" in refusal(tmp_path, parts)
    assert "output_head.1.bias" in refusal(tmp_path, parts)


def test_numbers_too_big_for_float16_are_refused(tmp_path: Path) -> None:
    parts = parts_of()
    parts["action_expert"]["output_head.1.bias"][3] = 1e5
    torch.save(parts, tmp_path / "best.pt")
    load_policy_heads(tmp_path / "best.pt", dtype=torch.bfloat16)
    message = message_of(tmp_path / "best.pt", dtype=torch.float16)
    assert "read as torch.float16: output_head.1.bias" in message


def test_an_encoder_of_another_size_is_refused(tmp_path: Path) -> None:
    parts = parts_of("gated")
    parts["action_expert"]["sensor_proj.weight"] = torch.zeros(32, 48)
    message = refusal(tmp_path, parts, "gated")
    assert "the sensor encoder gives 24 numbers, the action expert takes 48" in message


def test_a_width_without_eight_heads_is_refused(tmp_path: Path) -> None:
    parts = parts_of()
    parts["action_expert"]["pos_embed"] = torch.zeros(1, 8, 30)
    assert "action_expert is 30 wide, not a multiple of its 8 attention heads" in refusal(
        tmp_path, parts
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-5), (torch.float16, 0.02), (torch.bfloat16, 0.1)],
)
@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_other_precisions(fusion: str, dtype: torch.dtype, tolerance: float) -> None:
    name = f"{fusion}_stage1_T65"
    heads = load_policy_heads(PARITY / f"{name}.pt", fusion, dtype=dtype)
    assert_reproduces(heads, name, tolerance)
    assert heads.sensor_features(torch.zeros(1, 65, 17)).dtype == dtype
    assert {parameter.dtype for parameter in heads.encoder.parameters()} == {dtype}


def test_batch_counters_are_not_needed(tmp_path: Path) -> None:
    parts = parts_of()
    counters = [name for name in parts["sensor_encoder"] if name.endswith("num_batches_tracked")]
    for name in counters:
        del parts["sensor_encoder"][name]
    torch.save(parts, tmp_path / "best.pt")
    heads = load_policy_heads(tmp_path / "best.pt")
    assert_reproduces(heads, "concat_stage1_T65")
    assert heads.state_report.missing == tuple(f"sensor_encoder.{name}" for name in counters)


def test_quantised_tensors_are_refused(tmp_path: Path) -> None:
    parts = parts_of()
    bias = parts["action_expert"]["output_head.1.bias"]
    parts["action_expert"]["output_head.1.bias"] = bias.to(torch.float8_e4m3fn)
    message = refusal(tmp_path, parts)
    assert "output_head.1.bias is (7,) torch.float8_e4m3fn, not (7,) floating point" in message

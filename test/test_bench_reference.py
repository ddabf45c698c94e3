"""What the bench of the models compares with does what it says, and costs what it says."""

from __future__ import annotations

from typing import Any

import cost
import numpy as np
import pytest
import reference
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.core.jpeg import jpeg_size
from vla_inference_ros.core.wire import SENSOR_CHANNELS
from vla_inference_ros.model.heads import ActionExpert, SensorEncoder
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, SENSOR_WINDOW, View
from vla_inference_ros.model.policy import HeadsPolicy
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.tiny import byte_tokenizer, tiny_heads, vision_language_model

ONE_LEVEL = 1 / 255 / 0.26130258  # a step of one in 0..255, normalised
TOKENIZER = byte_tokenizer()


@pytest.fixture(scope="module")
def jpegs() -> list[bytes]:
    return reference.photographs(2)


@pytest.fixture(scope="module")
def inputs(jpegs: list[bytes]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """``(input_ids, pixel_values, grid)`` of two views."""
    pixel_values, grid = reference.reference_pixels(jpegs, reference.reference_processor())
    input_ids = reference.reference_input_ids(TOKENIZER, DEFAULT_INSTRUCTION, grid)
    return input_ids, pixel_values, grid


@pytest.fixture
def small() -> Any:
    return reference.build_qwen("small", 2, 3, 512, dtype=torch.float32, device="cpu")


def our_pixels(jpegs: list[bytes]) -> torch.Tensor:
    return reference.our_pixels([View("View1", 0.0, jpeg) for jpeg in jpegs])


def test_photographs_are_as_cameras_send_them() -> None:
    jpegs = reference.photographs(len(reference.PHOTOGRAPHS))
    assert len(set(jpegs)) == len(jpegs)
    for jpeg in jpegs:
        assert jpeg_size(jpeg) == (1280, 720)
    with pytest.raises(ValueError, match="there are 7"):
        reference.photographs(8)


def test_pixels_are_ours_but_for_the_second_jpeg_and_the_second_resize(
    jpegs: list[bytes], inputs: tuple[torch.Tensor, ...]
) -> None:
    _, pixel_values, grid = inputs
    assert pixel_values.dtype == torch.float32
    assert grid.tolist() == [[1, *cost.GRID]] * 2
    ours = our_pixels(jpegs)
    assert (pixel_values - ours).abs().mean() < 2 * ONE_LEVEL
    assert (pixel_values - ours.roll(1, dims=0)).abs().mean() > 10 * ONE_LEVEL


def test_a_broken_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="picture 0 of 4 bytes"):
        reference.reference_pixels([b"nope"], reference.reference_processor())


def test_feature_is_that_of_our_model(jpegs: list[bytes]) -> None:
    tiny: Any = vision_language_model(TOKENIZER)
    whole = Qwen2_5_VLForConditionalGeneration(tiny.config).eval()
    whole.model.load_state_dict(tiny.state_dict())
    grid = torch.tensor([[1, *cost.GRID]] * len(jpegs))
    input_ids = reference.reference_input_ids(TOKENIZER, DEFAULT_INSTRUCTION, grid)
    feature = reference.reference_feature(whole, input_ids, our_pixels(jpegs), grid)
    views = [View("View1", 0.0, jpeg) for jpeg in jpegs]
    expected = QwenFeatures(tiny, TOKENIZER, "").features(views, DEFAULT_INSTRUCTION)
    np.testing.assert_allclose(feature.numpy(), expected, atol=1e-4, rtol=0)


def test_our_pictures_give_the_feature_of_the_plain_script() -> None:
    """Of photographs: ours skip a temporary JPEG and a resize, which must not matter."""
    tiny: Any = vision_language_model(TOKENIZER)
    whole = Qwen2_5_VLForConditionalGeneration(tiny.config).eval()
    whole.model.load_state_dict(tiny.state_dict())
    ours = QwenFeatures(tiny, TOKENIZER, "")
    processor = reference.reference_processor()
    for jpeg in reference.photographs(len(reference.PHOTOGRAPHS)):
        pixel_values, grid = reference.reference_pixels([jpeg], processor)
        input_ids = reference.reference_input_ids(TOKENIZER, DEFAULT_INSTRUCTION, grid)
        expected = reference.reference_feature(whole, input_ids, pixel_values, grid).numpy().ravel()
        found = ours.features([View("View1", 0.0, jpeg)], DEFAULT_INSTRUCTION).ravel()
        cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine >= 0.999


def test_chunk_is_that_of_our_policy() -> None:
    encoder, expert = tiny_heads()
    encoder.eval()
    expert.eval()
    random = np.random.default_rng(0)
    features = random.standard_normal((1, 1, expert.vl_dim), dtype=np.float32)
    window = random.standard_normal((SENSOR_WINDOW, SENSOR_CHANNELS), dtype=np.float32)
    chunk = reference.reference_chunk(encoder, expert, torch.tensor(features), window)
    expected = HeadsPolicy(encoder, expert, "").act(features, window)
    np.testing.assert_allclose(chunk.actions, expected.actions, atol=1e-5, rtol=0)
    np.testing.assert_allclose(chunk.delta, expected.delta, atol=1e-5, rtol=0)


def test_built_model_is_one_that_transformers_builds(
    small: Any, inputs: tuple[torch.Tensor, ...]
) -> None:
    ordinary = Qwen2_5_VLForConditionalGeneration(small.config).eval()
    buffers = dict(ordinary.named_buffers())
    assert buffers
    assert list(buffers) == [name for name, _ in small.named_buffers()]
    for name, buffer in small.named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    ordinary.load_state_dict(small.state_dict())
    feature = reference.reference_feature(small, *inputs)
    assert feature.shape == (1, 1, cost.SMALL.hidden)
    assert torch.isfinite(feature).all()
    torch.testing.assert_close(feature, reference.reference_feature(ordinary, *inputs))
    assert small.lm_head.weight is small.model.language_model.embed_tokens.weight
    assert not small.training


def test_built_model_comes_again_and_in_another_precision(small: Any) -> None:
    again = reference.build_qwen("small", 2, 3, 512, dtype=torch.float32, device="cpu")
    for one, other in zip(small.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    half = reference.build_qwen("small", 2, 3, 512, dtype=torch.bfloat16, device="cpu")
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    assert {buffer.dtype for buffer in half.buffers()} == {torch.float32}


def test_full_widths_and_depths_have_the_original_number_of_parameters() -> None:
    config = reference.qwen_configuration(
        cost.FULL, cost.VISION_BLOCKS, cost.TEXT_LAYERS, cost.VOCABULARY
    )
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_754_622_976
    assert config.vision_config.fullatt_block_indexes == [7, 15, 23, 31]
    shallow = reference.qwen_configuration(cost.FULL, 4, 4, 512)
    assert shallow.vision_config.fullatt_block_indexes == [3]


def test_a_vocabulary_without_room_for_the_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="too small"):
        reference.qwen_configuration(cost.SMALL, 1, 1, 256)


def test_operations_are_those_that_torch_counts(
    small: Any, inputs: tuple[torch.Tensor, ...]
) -> None:
    small.set_attn_implementation("eager")  # torch does not count its fused attention on the CPU
    with FlopCounterMode(display=False) as counter:
        reference.reference_feature(small, *inputs)
    tokens = inputs[0].shape[1]
    parts = [
        cost.vision_flops(2, 2, widths=cost.SMALL),
        cost.text_flops(3, tokens, widths=cost.SMALL),
        cost.lm_head_flops(tokens, vocabulary=512, widths=cost.SMALL),
    ]
    assert counter.get_total_flops() == sum(parts)


def test_expert_reads_each_weight_once() -> None:
    encoder, expert = full_heads()
    full = cost.expert_bytes(encoder, expert)
    assert full == pytest.approx(4 * 119.6e6, rel=0.001)
    assert cost.expert_bytes(encoder.half(), expert.half()) == full / 2


def test_fused_expert_reads_what_is_not_folded_away() -> None:
    """Counted by hand, in millions: convolutions 9.4, transformer 25.2, projection 3.1, fusion 3.1,
    three self-attentions 12.6, four maps of the condition 4.2, feed-forwards 33.6."""
    assert cost.fused_expert_bytes(*full_heads()) == pytest.approx(4 * 91.3e6, rel=0.002)


def full_heads() -> tuple[SensorEncoder, ActionExpert]:
    with torch.device("meta"):
        encoder = SensorEncoder(channels=1026, window=65, hidden=512, output=3072)
        expert = ActionExpert(vl_dim=2048, sensor_dim=3072, hidden=1024, horizon=8, action_dim=7)
    return encoder, expert


def test_rates_are_positive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_BUDGET", 0.01)
    monkeypatch.setattr(cost, "_MATMULS", ((128, 64, 32), (32, 64, 128)))
    monkeypatch.setattr(cost, "_BUFFER_BYTES", 4 * 4096 * 16)
    assert cost.measured_matmul_rate(torch.float32, "cpu") > 1e6
    assert cost.measured_bandwidth("cpu") > 1e6

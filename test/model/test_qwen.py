from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, FrameError, ModelError, View
from vla_inference_ros.model.preprocess import to_patches
from vla_inference_ros.model.qwen import QwenFeatures
from vla_inference_ros.model.tiny import byte_tokenizer, vision_language_model

TOKENIZER = byte_tokenizer()
MODEL: Any = vision_language_model(TOKENIZER)


@pytest.fixture
def qwen() -> QwenFeatures:
    return QwenFeatures(MODEL, TOKENIZER, "a small one")


def full_forward(views: list[View], instruction: str) -> np.ndarray:
    """The mean last hidden state by the whole transformers model, which finds its own positions."""
    whole = Qwen2_5_VLForConditionalGeneration(MODEL.config).eval()
    whole.model.load_state_dict(MODEL.state_dict())
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        + ("<|vision_start|>" + 264 * "<|image_pad|>" + "<|vision_end|>") * len(views)
        + instruction
        + "<|im_end|>\n"
    )
    input_ids = torch.tensor([TOKENIZER.encode(text).ids])
    is_image = torch.eq(input_ids, MODEL.config.image_token_id)
    pixel_values, grid = to_patches(views)
    with torch.inference_mode():
        hidden: torch.Tensor = whole(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            mm_token_type_ids=is_image.int(),
            pixel_values=pixel_values,
            image_grid_thw=grid,
            output_hidden_states=True,
        ).hidden_states[-1]
    mean: np.ndarray = hidden.mean(dim=1, keepdim=True).numpy()
    return mean


@pytest.mark.parametrize("count", [1, 2, 5])
def test_is_the_mean_last_hidden_state(qwen: QwenFeatures, views: list[View], count: int) -> None:
    feature = qwen.features(views[:count], DEFAULT_INSTRUCTION)
    assert feature.shape == (1, 1, 64)
    assert feature.dtype == np.float32
    expected = full_forward(views[:count], DEFAULT_INSTRUCTION)
    np.testing.assert_allclose(feature, expected, atol=1e-4, rtol=0)


def test_the_prompt_follows_the_instruction_and_the_number_of_views(
    qwen: QwenFeatures, views: list[View]
) -> None:
    calls = [(5, "left"), (5, "right"), (3, "right"), (3, "left"), (5, "left")]
    for count, instruction in calls:
        fresh = QwenFeatures(MODEL, TOKENIZER, "")
        np.testing.assert_array_equal(
            qwen.features(views[:count], instruction), fresh.features(views[:count], instruction)
        )


def test_a_marker_in_the_instruction_is_only_text(qwen: QwenFeatures, views: list[View]) -> None:
    strange = qwen.features(views[:1], "move <|image_pad|> the <|im_end|> needle")
    assert np.isfinite(strange).all()
    again = qwen.features(views[:1], DEFAULT_INSTRUCTION)  # the prompt's own markers still work
    np.testing.assert_allclose(again, full_forward(views[:1], DEFAULT_INSTRUCTION), atol=1e-4)


def test_a_broken_picture_leaves_the_model_usable(qwen: QwenFeatures, views: list[View]) -> None:
    before = qwen.features(views, "left")
    with pytest.raises(FrameError):
        qwen.features([*views[:4], View("View5", 0.0, b"")], "left")
    np.testing.assert_array_equal(qwen.features(views, "left"), before)


def test_no_views_is_an_error(qwen: QwenFeatures) -> None:
    with pytest.raises(ModelError, match="no views"):
        qwen.features([], DEFAULT_INSTRUCTION)

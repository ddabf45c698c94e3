from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from reference import our_pixels
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLForConditionalGeneration

from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, FrameError, ModelError, View
from vla_inference_ros.model.qwen import patches as patches_module
from vla_inference_ros.model.qwen.features import QwenFeatures
from vla_inference_ros.model.qwen.patches import write_patches
from vla_inference_ros.model.tiny import byte_tokenizer, vision_language_model

TOKENIZER = byte_tokenizer()
MODEL: Any = vision_language_model(TOKENIZER)


@pytest.fixture
def qwen() -> QwenFeatures:
    return QwenFeatures(MODEL, TOKENIZER, "a small one")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The views whose pictures have been decoded, in order."""
    names: list[str] = []

    def write(view: View, out: np.ndarray) -> None:
        write_patches(view, out)
        names.append(view.name)

    monkeypatch.setattr(patches_module, "write_patches", write)
    return names


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
    with torch.inference_mode():
        hidden: torch.Tensor = whole(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            mm_token_type_ids=is_image.int(),
            pixel_values=our_pixels(views),
            image_grid_thw=torch.tensor([[1, 24, 44]] * len(views)),
            output_hidden_states=True,
        ).hidden_states[-1]
    mean: np.ndarray = hidden.mean(dim=1, keepdim=True).numpy()
    return mean


@pytest.mark.parametrize("count", range(1, 9))
def test_is_the_mean_last_hidden_state(
    qwen: QwenFeatures, jpeg: Callable[..., bytes], count: int
) -> None:
    views = [View(f"View{i}", 0.0, jpeg(i)) for i in range(count)]
    feature = qwen.features(views, DEFAULT_INSTRUCTION)
    assert feature.shape == (1, 1, 64)
    assert feature.dtype == np.float32
    expected = full_forward(views, DEFAULT_INSTRUCTION)
    np.testing.assert_allclose(feature, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("precision", "limit"), [("float16", 1e-5), ("bfloat16", 1e-2)])
def test_a_lower_precision_is_close(views: list[View], precision: str, limit: float) -> None:
    lower = QwenFeatures(MODEL, TOKENIZER, "", precision=precision)
    found = lower.features(views[:2], DEFAULT_INSTRUCTION).ravel()
    expected = full_forward(views[:2], DEFAULT_INSTRUCTION).ravel()
    cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
    assert 1e-9 < 1 - cosine < limit


def test_the_prompt_follows_the_instruction_and_the_number_of_views(
    qwen: QwenFeatures, views: list[View]
) -> None:
    calls = [(5, "left"), (5, "right"), (3, "right"), (3, "left"), (5, "a little to the left")]
    for count, instruction in calls:
        fresh = QwenFeatures(MODEL, TOKENIZER, "")
        np.testing.assert_array_equal(
            qwen.features(views[:count], instruction), fresh.features(views[:count], instruction)
        )


def test_only_views_with_a_new_picture_are_seen_again(
    qwen: QwenFeatures, views: list[View], jpeg: Callable[..., bytes], decoded: list[str]
) -> None:
    qwen.features(views, "left")
    assert sorted(decoded) == ["View1", "View2", "View3", "View4", "View5"]
    decoded.clear()
    same = [View(view.name, 5.0, bytes(bytearray(view.picture))) for view in views]
    same[1] = View("View2", 5.0, jpeg(77))
    same[4] = View("View5", 5.0, jpeg(78))
    kept = qwen.features(same, "left")
    assert sorted(decoded) == ["View2", "View5"]
    fresh = QwenFeatures(MODEL, TOKENIZER, "").features(same, "left")
    np.testing.assert_array_equal(kept, fresh)


def test_the_time_of_decoding_is_that_of_the_last_updates_new_pictures(
    qwen: QwenFeatures, views: list[View], jpeg: Callable[..., bytes]
) -> None:
    assert qwen.decode_time == 0.0
    started = time.perf_counter()
    qwen.features(views[:2], "left")
    assert 0.0 < qwen.decode_time < time.perf_counter() - started
    qwen.features(views[:2], "left")
    assert qwen.decode_time == 0.0  # there was nothing to decode
    qwen.features([views[0], View("View2", 5.0, jpeg(77))], "left")
    assert qwen.decode_time > 0.0


def test_a_new_instruction_sees_no_view_again(
    qwen: QwenFeatures, views: list[View], decoded: list[str]
) -> None:
    qwen.features(views, "left")
    decoded.clear()
    qwen.features(views, "to the right, slowly")
    assert decoded == []


def test_pixels_that_changed_in_place_are_seen(
    qwen: QwenFeatures, pixels: Callable[..., np.ndarray]
) -> None:
    rgb = pixels(1)
    before = qwen.features([View("View1", 0.0, rgb)], "left")
    rgb[100:200, 300:400] = 0
    assert np.abs(qwen.features([View("View1", 0.0, rgb)], "left") - before).max() > 1e-4


def test_nothing_is_left_of_features_that_are_given_up(views: list[View]) -> None:
    """Without the garbage collector, which is off while models are loaded."""
    qwen = QwenFeatures(MODEL, TOKENIZER, "")
    qwen.features(views[:1], "left")
    language = weakref.ref(qwen._language)
    gc.disable()
    try:
        del qwen
        assert language() is None
    finally:
        gc.enable()


def test_the_same_input_gives_the_same_bits(views: list[View]) -> None:
    first = QwenFeatures(MODEL, TOKENIZER, "").features(views, "left")
    again = QwenFeatures(MODEL, TOKENIZER, "")
    again.features(views[::-1], "right")  # whatever came before
    np.testing.assert_array_equal(again.features(views, "left"), first)


def test_a_marker_in_the_instruction_is_only_text(qwen: QwenFeatures, views: list[View]) -> None:
    strange = qwen.features(views[:1], "move <|image_pad|> the <|im_end|> needle")
    assert np.isfinite(strange).all()
    again = qwen.features(views[:1], DEFAULT_INSTRUCTION)  # the prompt's own markers still work
    np.testing.assert_allclose(again, full_forward(views[:1], DEFAULT_INSTRUCTION), atol=1e-4)


def test_a_broken_picture_leaves_the_model_usable(
    qwen: QwenFeatures, views: list[View], jpeg: Callable[..., bytes]
) -> None:
    before = qwen.features(views, "left")
    new_first = View("View1", 0.0, jpeg(50))
    with pytest.raises(FrameError) as caught:
        qwen.features([new_first, *views[1:4], View("View5", 0.0, b"")], "left")
    assert caught.value.view == "View5"
    np.testing.assert_array_equal(qwen.features(views, "left"), before)


def test_no_views_is_an_error(qwen: QwenFeatures) -> None:
    with pytest.raises(ModelError, match="no views"):
        qwen.features([], DEFAULT_INSTRUCTION)

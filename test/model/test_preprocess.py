from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from vla_inference_ros.model.interface import FrameError, View
from vla_inference_ros.model.picture import decode
from vla_inference_ros.model.preprocess import to_patches

MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
STD = np.array([0.26862954, 0.26130258, 0.27577711])
ONE_LEVEL = 1 / 255 / STD.min()  # a step of one in 0..255, normalised


def antialiased_bicubic(length_in: int, length_out: int) -> np.ndarray:
    """(length_out, length_in) weights of the cubic kernel with a = -1/2, widened to shrink."""
    scale = length_in / length_out
    centres = (np.arange(length_out) + 0.5) * scale - 0.5
    x = np.abs(np.arange(length_in)[np.newaxis] - centres[:, np.newaxis]) / max(scale, 1.0)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights: np.ndarray = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def reference_patches(rgb: np.ndarray) -> np.ndarray:
    """(1056, 1176) of pixels (360, 640, 3), number by number."""
    resized = np.einsum("yi,ijc->yjc", antialiased_bicubic(360, 336), rgb.astype(float))
    resized = np.einsum("xj,yjc->yxc", antialiased_bicubic(640, 616), resized)
    normalised = (np.clip(resized, 0, 255) / 255 - MEAN) / STD
    patches = []
    for block_row in range(12):
        for block_column in range(22):
            for row in (2 * block_row, 2 * block_row + 1):
                for column in (2 * block_column, 2 * block_column + 1):
                    patch = normalised[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
                    planes = [patch[:, :, channel].ravel() for channel in range(3)]
                    patches.append(np.concatenate([np.tile(plane, 2) for plane in planes]))
    return np.array(patches)


def test_patches_are_those_of_the_definition(pixels: Callable[..., np.ndarray]) -> None:
    view = View("View1", 0.0, pixels(3))
    patches, grid = to_patches([view])
    assert patches.dtype == torch.float32
    assert grid.tolist() == [[1, 24, 44]]
    difference = np.abs(patches.numpy() - reference_patches(decode(view)))
    assert difference.max() < 1.6 * ONE_LEVEL  # rounding to whole levels, twice
    assert difference.mean() < 0.4 * ONE_LEVEL


def test_patches_are_those_of_transformers(pixels: Callable[..., np.ndarray]) -> None:
    pytest.importorskip("PIL", reason="transformers' image processor needs Pillow")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    view = View("View1", 0.0, pixels(4))
    processor = Qwen2VLImageProcessorPil(min_pixels=640 * 360, max_pixels=640 * 360)
    expected = processor([decode(view)], return_tensors="pt")
    patches, grid = to_patches([view])
    assert torch.equal(grid, expected["image_grid_thw"])
    torch.testing.assert_close(patches, expected["pixel_values"], atol=1.1 * ONE_LEVEL, rtol=0)


def test_views_follow_each_other_in_order(views: list[View]) -> None:
    together, grid = to_patches(views)
    assert together.shape == (5 * 1056, 1176)
    assert grid.tolist() == [[1, 24, 44]] * 5
    for i, view in enumerate(views):
        alone, _ = to_patches([view])
        assert torch.equal(together[1056 * i : 1056 * (i + 1)], alone)


def test_a_read_only_array_is_taken_without_a_warning(
    pixels: Callable[..., np.ndarray], recwarn: pytest.WarningsRecorder
) -> None:
    rgb = pixels(5, 640, 360)
    rgb.flags.writeable = False
    patches, _ = to_patches([View("View1", 0.0, rgb)])
    assert torch.equal(patches, to_patches([View("View1", 0.0, rgb.copy())])[0])
    assert not recwarn.list


def test_a_broken_picture_names_its_view(views: list[View]) -> None:
    views[2] = View("View3", 0.0, b"\xff\xd8 nothing")
    with pytest.raises(FrameError) as caught:
        to_patches(views)
    assert caught.value.view == "View3"

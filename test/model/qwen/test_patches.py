from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from vla_inference_ros.model.interface import FrameError, View
from vla_inference_ros.model.picture import decode
from vla_inference_ros.model.qwen.patches import PatchWriter, write_patches


def patches_of(view: View) -> np.ndarray:
    out = np.empty((1056, 588), dtype=np.uint8)
    write_patches(view, out)
    return out


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
    """(1056, 588) of pixels (360, 640, 3), number by number."""
    resized = np.einsum("yi,ijc->yjc", antialiased_bicubic(360, 336), rgb.astype(float))
    resized = np.einsum("xj,yjc->yxc", antialiased_bicubic(640, 616), resized).clip(0, 255)
    patches = []
    for block_row in range(12):
        for block_column in range(22):
            for row in (2 * block_row, 2 * block_row + 1):
                for column in (2 * block_column, 2 * block_column + 1):
                    patch = resized[14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
                    patches.append(patch.ravel())
    return np.array(patches)


def test_patches_are_those_of_the_definition(pixels: Callable[..., np.ndarray]) -> None:
    view = View("View1", 0.0, pixels(3))
    difference = np.abs(patches_of(view) - reference_patches(decode(view)))
    assert difference.max() < 1.6  # rounding to whole levels, twice
    assert difference.mean() < 0.4


def test_patches_are_those_of_transformers(pixels: Callable[..., np.ndarray]) -> None:
    pytest.importorskip("PIL", reason="transformers' image processor needs Pillow")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    view = View("View1", 0.0, pixels(4))
    processor = Qwen2VLImageProcessorPil(
        min_pixels=640 * 360, max_pixels=640 * 360, do_normalize=False, do_rescale=False
    )
    expected = processor([decode(view)], return_tensors="pt")
    assert expected["image_grid_thw"].tolist() == [[1, 24, 44]]
    # theirs: RGB, two frames that are the same, row, column
    theirs = expected["pixel_values"].view(1056, 3, 2, 14, 14)
    assert torch.equal(theirs[:, :, 0], theirs[:, :, 1])
    still = theirs[:, :, 0].permute(0, 2, 3, 1).reshape(1056, 588)
    torch.testing.assert_close(
        torch.from_numpy(patches_of(view)).float(), still.float(), atol=1.1, rtol=0
    )


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (33, 17), (641, 361), (1279, 719), (1281, 721), (1920, 1080), (480, 640), (3, 900)],
)
def test_any_size_of_picture_is_taken(
    pixels: Callable[..., np.ndarray], width: int, height: int
) -> None:
    scene = np.repeat(pixels(7, width, height)[:, :, :1], 3, axis=2)  # a JPEG halves colours' size
    jpeg = cv2.imencode(".jpg", scene)[1].tobytes()
    of_jpeg = patches_of(View("View1", 0.0, jpeg)).astype(int)
    assert np.abs(of_jpeg - patches_of(View("View1", 0.0, scene))).mean() < 6


def test_a_grey_jpeg_is_the_same_picture_in_grey(pixels: Callable[..., np.ndarray]) -> None:
    grey = pixels(8)[:, :, 1]
    grey_jpeg = cv2.imencode(".jpg", grey)[1].tobytes()
    colour_jpeg = cv2.imencode(".jpg", np.stack([grey] * 3, axis=-1))[1].tobytes()
    of_grey = patches_of(View("View1", 0.0, grey_jpeg)).astype(int)
    by_colour = of_grey.reshape(-1, 3)
    assert (by_colour == by_colour[:, :1]).all()
    assert np.abs(of_grey - patches_of(View("View1", 0.0, colour_jpeg))).max() <= 3


def test_a_read_only_array_is_taken_without_a_warning(
    pixels: Callable[..., np.ndarray], recwarn: pytest.WarningsRecorder
) -> None:
    rgb = pixels(5, 640, 360)
    rgb.flags.writeable = False
    expected = patches_of(View("View1", 0.0, rgb.copy()))
    np.testing.assert_array_equal(patches_of(View("View1", 0.0, rgb)), expected)
    assert not recwarn.list


def test_a_broken_picture_names_its_view_and_writes_nothing() -> None:
    out = np.full((1056, 588), 7, dtype=np.uint8)
    with pytest.raises(FrameError) as caught:
        write_patches(View("View3", 0.0, b"\xff\xd8 nothing"), out)
    assert caught.value.view == "View3"
    assert (out == 7).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_pictures_are_written_in_order(views: list[View], threads: int) -> None:
    outs = np.zeros((5, 1056, 588), dtype=np.uint8)
    for number in PatchWriter(threads).write(views, list(outs)):
        np.testing.assert_array_equal(outs[number], patches_of(views[number]))
    assert number == 4


def test_a_broken_picture_among_others_is_raised_in_its_turn(views: list[View]) -> None:
    views[2] = View("View3", 0.0, b"")
    outs = np.zeros((5, 1056, 588), dtype=np.uint8)
    written: list[int] = []
    with pytest.raises(FrameError, match="View3"):
        written.extend(PatchWriter(2).write(views, list(outs)))
    assert outs[:2].any(axis=(1, 2)).all()
    assert not outs[2].any()

"""Turns pictures into the patches that Qwen2.5-VL takes, without its image processor.

Owns the layout and the numbers of transformers' ``Qwen2VLImageProcessor`` for one picture size:
bicubic resize to whole merge blocks, CLIP's normalisation, patches grouped by merge block.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vla_inference_ros.model.interface import View
from vla_inference_ros.model.picture import HEIGHT, WIDTH, decode

PATCH = 14  # pixels, both ways
MERGE = 2  # patches, both ways, that become one token
TEMPORAL = 2  # frames of a patch; a still picture fills both
# With min_pixels = max_pixels = 640*360 the image processor rounds down to whole merge blocks.
BLOCK_ROWS, BLOCK_COLUMNS = HEIGHT // (PATCH * MERGE), WIDTH // (PATCH * MERGE)
GRID = (1, BLOCK_ROWS * MERGE, BLOCK_COLUMNS * MERGE)  # patches of a view: time, height, width
PATCHES_PER_VIEW = GRID[1] * GRID[2]
TOKENS_PER_VIEW = BLOCK_ROWS * BLOCK_COLUMNS
PATCH_SIZE = 3 * TEMPORAL * PATCH * PATCH  # numbers of one patch

_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])  # CLIP's, RGB in 0..1
_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
_SCALE = (1 / (255 * _STD)).view(3, 1)
_SHIFT = (-_MEAN / _STD).view(3, 1)


def to_patches(views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """``(pixel_values, image_grid_thw)``: (n * 1056, 1176) float32 and (n, 3) int64.

    Raises :class:`FrameError` for a picture that cannot be decoded.
    """
    patches = torch.empty(len(views) * PATCHES_PER_VIEW, PATCH_SIZE)
    of_each_view = patches.view(len(views), PATCHES_PER_VIEW, PATCH_SIZE)
    for view, out in zip(views, of_each_view, strict=True):
        _fill(out, torch.tensor(decode(view)))  # a copy: pixels may be read-only
    return patches, torch.tensor([GRID] * len(views))


def _fill(out: Tensor, pixels: Tensor) -> None:
    """Write one view's patches (1056, 1176) from its pixels (HEIGHT, WIDTH, 3) uint8."""
    resized = F.interpolate(
        pixels.permute(2, 0, 1).unsqueeze(0),
        size=(GRID[1] * PATCH, GRID[2] * PATCH),
        mode="bicubic",
        antialias=True,
    )
    blocks = resized.view(3, BLOCK_ROWS, MERGE, PATCH, BLOCK_COLUMNS, MERGE, PATCH)
    by_patch = blocks.permute(1, 4, 2, 5, 0, 3, 6).reshape(PATCHES_PER_VIEW, 3, PATCH * PATCH)
    normalised = by_patch.float().mul_(_SCALE).add_(_SHIFT)
    out.view(PATCHES_PER_VIEW, 3, TEMPORAL, PATCH * PATCH).copy_(normalised.unsqueeze(2))

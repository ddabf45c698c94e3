"""Turns pictures into the patches that the vision encoder reads.

Owns the layout and the resize of transformers' ``Qwen2VLImageProcessor`` for one picture size:
bicubic to whole merge blocks, patches grouped by merge block. The normalisation and the doubling of
a still picture in time are left out; ``vision`` has them in its weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vla_inference_ros.model.interface import VIEWS, View
from vla_inference_ros.model.picture import HEIGHT, WIDTH, decode

PATCH = 14  # pixels, both ways
MERGE = 2  # patches, both ways, that become one token
# With min_pixels = max_pixels = 640*360 the image processor rounds down to whole merge blocks.
BLOCK_ROWS, BLOCK_COLUMNS = HEIGHT // (PATCH * MERGE), WIDTH // (PATCH * MERGE)
GRID_ROWS, GRID_COLUMNS = BLOCK_ROWS * MERGE, BLOCK_COLUMNS * MERGE  # patches of a view
PATCHES_PER_VIEW = GRID_ROWS * GRID_COLUMNS
TOKENS_PER_VIEW = BLOCK_ROWS * BLOCK_COLUMNS
_THREADS = min(len(VIEWS), os.cpu_count() or 1)
PATCH_SIZE = PATCH * PATCH * 3  # numbers of one patch: row, column, RGB


def write_patches(view: View, out: NDArray[np.uint8]) -> None:
    """Fill ``out`` (PATCHES_PER_VIEW, PATCH_SIZE) from a picture.

    Raises :class:`FrameError` for a picture that cannot be decoded.
    """
    blocks = resize(decode(view)).reshape(BLOCK_ROWS, MERGE, PATCH, BLOCK_COLUMNS, MERGE, PATCH, 3)
    by_patch = blocks.transpose(0, 3, 1, 4, 2, 5, 6)
    np.copyto(out.reshape(by_patch.shape), by_patch)


class PatchWriter:
    """:func:`write_patches` for several pictures at a time, in ``threads`` threads of its own."""

    def __init__(self, threads: int = _THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def write(self, views: Sequence[View], outs: Sequence[NDArray[np.uint8]]) -> Iterator[int]:
        """Yield each picture's number once its patches are there, in order.

        Raises :class:`FrameError` in a bad one's turn, when no thread writes any more.
        """
        jobs = [self._pool.submit(write_patches, *job) for job in zip(views, outs, strict=True)]
        try:
            for number, job in enumerate(jobs):
                job.result()
                yield number
        finally:
            wait(jobs)


def resize(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(GRID_ROWS * PATCH, GRID_COLUMNS * PATCH, 3) of (HEIGHT, WIDTH, 3), as Pillow's bicubic."""
    resized = F.interpolate(
        _tensor(pixels).permute(2, 0, 1).unsqueeze(0),
        size=(GRID_ROWS * PATCH, GRID_COLUMNS * PATCH),
        mode="bicubic",
        antialias=True,
    )
    # torch gives a plane for each channel; OpenCV weaves them many times faster than a copy.
    return cv2.merge(list(resized[0].numpy())).astype(np.uint8, copy=False)


def _tensor(pixels: NDArray[np.uint8]) -> Tensor:
    # torch warns of arrays that are read-only, as those of a message are.
    return torch.from_numpy(pixels if pixels.flags.writeable else pixels.copy())

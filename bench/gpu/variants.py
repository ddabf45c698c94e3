"""Other ways to run the same VLM, exact like ours: all pictures in one pass, layers compiled."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.interface import DEFAULT_INSTRUCTION, View
from vla_inference_ros.model.qwen import language, vision
from vla_inference_ros.model.qwen.features import QwenFeatures, pooled_by
from vla_inference_ros.model.qwen.patches import PATCH_SIZE, PATCHES_PER_VIEW


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What is there for a number of robots and views: ``staging`` (robots * views, P, size)."""

    robots: int
    images: tuple[slice, ...]
    staging: Tensor
    see: Captured
    read: Captured
    embeddings: Tensor
    shared: tuple[Tensor, Tensor]  # rotation and pooling


class BatchedFeatures(QwenFeatures):
    """The updates of several robots at once: all their pictures in one vision pass and all their
    prompts in one language pass. Every picture is seen anew. One robot's is what
    :class:`QwenFeatures` gives.
    """

    _batch: _Batch | None = None

    @torch.inference_mode()
    def of_all(self, robots: Sequence[Sequence[View]]) -> NDArray[np.float32]:
        """(robots, 1, V) of each robot's views, as many for each, with the default instruction."""
        pictures = [view for views in robots for view in views]
        with torch.cuda.stream(self._stream):
            if self._stream is not None:
                self._stream.synchronize()  # the last batch may still be copied
            batch = self._batch_for(len(robots), len(robots[0]))
            for _ in self._writer.write(pictures, list(batch.staging.numpy())):
                pass
            return self._compute(batch)

    def forget(self) -> None:
        """Give up what the last batch needed, its graphs' memory included."""
        self._batch = None

    @torch.inference_mode()
    def again(self) -> NDArray[np.float32]:
        """The last batch once more, without its pictures' decoding."""
        assert self._batch is not None
        with torch.cuda.stream(self._stream):
            return self._compute(self._batch)

    def _compute(self, batch: _Batch) -> NDArray[np.float32]:
        tokens = batch.see(batch.staging).unflatten(0, (batch.robots, -1))
        for number, rows in enumerate(batch.images):
            batch.embeddings[:, rows] = tokens[:, number]
        feature: NDArray[np.float32] = batch.read(batch.embeddings, *batch.shared).cpu().numpy()
        return feature

    def _batch_for(self, robots: int, views: int) -> _Batch:
        last = self._batch
        if last is not None and (last.robots, len(last.images)) == (robots, views):
            return last
        last = None
        self.forget()
        one = self._tokenised(DEFAULT_INSTRUCTION, views)
        embeddings = one.embeddings.repeat(robots, 1, 1)
        shape = (robots * views, PATCHES_PER_VIEW, PATCH_SIZE)
        patches = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        self._batch = _Batch(
            robots,
            one.images,
            torch.zeros(shape, dtype=torch.uint8, pin_memory=self._stream is not None),
            Captured(self._vision, patches),
            Captured(pooled_by(self._language), embeddings, one.rotation, one.pooling),
            embeddings,
            (one.rotation, one.pooling),
        )
        return self._batch


@contextmanager
def compiled(backend: str | Callable[..., Any]) -> Iterator[None]:
    """While it lasts, the vision encoder's and the language model's layers run compiled.

    A layer's code is compiled once for all layers of its kind, which takes seconds; the whole
    network would take minutes. What a CUDA graph captures meanwhile stays compiled.
    """
    options: dict[str, Any] = {"backend": backend, "fullgraph": True, "dynamic": False}
    if backend == "inductor":
        importlib.import_module("triton")  # says by its name what is missing

    torch._dynamo.reset()
    with (
        mock.patch.object(
            vision._Block, "__call__", torch.compile(vision._Block.__call__, **options)
        ),
        mock.patch.object(
            language._Layer, "__call__", torch.compile(language._Layer.__call__, **options)
        ),
    ):
        yield

"""Computes vision-language features with a loaded Qwen2.5-VL model, of whatever size.

Owns what is kept from one update to the next: the prompt's embeddings with the image tokens in
their places, and the pictures that these are of. Does not own how the model came to be loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from vla_inference_ros.model.capture import Captured
from vla_inference_ros.model.interface import ModelError, View
from vla_inference_ros.model.qwen.language import LanguageModel
from vla_inference_ros.model.qwen.patches import PATCH_SIZE, PATCHES_PER_VIEW, PatchWriter
from vla_inference_ros.model.qwen.prompt import tokenise
from vla_inference_ros.model.qwen.vision import VisionEncoder

# On CUDA sequences are filled up to a multiple of this: most new instructions fit the graph then.
_BUCKET = 128

Picture = bytes | NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class _Sequence:
    """What the language model reads: ``embeddings`` (1, S, width), ``rotation`` (2, 1, S, head).

    ``pooling`` (1, S) are the weights of the mean, zero for what only fills up. ``images`` are the
    rows of each view's tokens.
    """

    instruction: str
    images: tuple[slice, ...]
    embeddings: Tensor
    rotation: Tensor
    pooling: Tensor


class QwenFeatures:
    """A :class:`FeatureModel`: the mean over all tokens of Qwen2.5-VL's last hidden state.

    ``model`` is transformers' ``Qwen2_5_VLModel`` (without the language-model head) on the CPU, in
    eval mode; its weights are shared where they need no copy. ``tokenizer`` is the one it was made
    with, ``precision`` one of ``linear.PRECISIONS``. For one thread at a time.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,
        model_id: str,
        device: torch.device = torch.device("cpu"),  # noqa: B008 - it is immutable
        precision: str = "float32",
    ) -> None:
        parts: Any = model  # its members are transformers', not nn.Module's
        self.model_id = model_id
        self.decode_time = 0.0
        self._device = device
        self._tokenizer = tokenizer
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            # Text embeddings are looked up on the CPU: once for an instruction, and they are big.
            self._embed = parts.language_model.embed_tokens
            self._language = LanguageModel(parts.language_model, device, precision)
            self._vision = VisionEncoder(parts.visual, device, precision)
            patches = torch.zeros(1, PATCHES_PER_VIEW, PATCH_SIZE, dtype=torch.uint8, device=device)
            self._see = Captured(self._vision, patches)
        self._read: Captured | None = None
        self._sequence: _Sequence | None = None
        self._pictures: list[Picture | None] = []  # whose tokens are in the sequence
        self._staging = torch.empty(0)
        self._writer = PatchWriter()

    @torch.inference_mode()
    def features(self, views: Sequence[View], instruction: str) -> NDArray[np.float32]:
        """(1, 1, V) float32. Raises :class:`FrameError`, or :class:`ModelError` for no views."""
        if not views:
            raise ModelError("no views: the model needs at least one picture")
        with torch.cuda.stream(self._stream):
            if self._stream is not None:
                self._stream.synchronize()  # an update that a bad picture ended may still copy
            sequence = self._sequence_for(instruction, len(views))
            self._take_pictures(views, sequence)
            inputs = sequence.embeddings, sequence.rotation, sequence.pooling
            if self._read is None:
                self._read = Captured(pooled_by(self._language), *inputs)
            feature: NDArray[np.float32] = self._read(*inputs).cpu().numpy()
        return feature

    def _take_pictures(self, views: Sequence[View], sequence: _Sequence) -> None:
        """Put new pictures' tokens into the sequence; a GPU works on while the next is decoded."""
        new = [
            slot for slot, view in enumerate(views) if not _same(self._pictures[slot], view.picture)
        ]
        outs = [self._staging[slot].numpy() for slot in new]
        self.decode_time, waiting_since = 0.0, time.perf_counter()
        for number in self._writer.write([views[slot] for slot in new], outs):
            self.decode_time += time.perf_counter() - waiting_since
            slot = new[number]
            tokens = self._see(self._staging[slot : slot + 1])
            sequence.embeddings[:, sequence.images[slot]] = tokens
            picture = views[slot].picture
            # Pixels may be written over by their owner, bytes may not.
            self._pictures[slot] = picture if isinstance(picture, bytes) else picture.copy()
            waiting_since = time.perf_counter()

    def _sequence_for(self, instruction: str, views: int) -> _Sequence:
        """The sequence of this prompt; image tokens that are there already are kept."""
        last = self._sequence
        if last is not None and (last.instruction, len(last.images)) == (instruction, views):
            return last
        new = self._tokenised(instruction, views)
        if last is not None and len(last.images) == views:
            kept = slice(0, last.images[-1].stop)  # the instruction comes behind the images
            new.embeddings[:, kept] = last.embeddings[:, kept]
        else:
            self._pictures = [None] * views
            self._staging = torch.empty(
                (views, PATCHES_PER_VIEW, PATCH_SIZE),
                dtype=torch.uint8,
                pin_memory=self._stream is not None,
            )
        if last is None or last.embeddings.shape != new.embeddings.shape:
            self._read = None
        self._sequence = new
        return new

    def _tokenised(self, instruction: str, views: int) -> _Sequence:
        prompt = tokenise(self._tokenizer, instruction, views)
        tokens = len(prompt.ids)
        filling = -tokens % _BUCKET if self._stream is not None else 0
        pooling = torch.full((1, tokens), 1 / tokens)
        known = self._embed.weight
        embeddings = F.embedding(prompt.ids.to(known.device), known)
        embeddings = embeddings.to(self._device, self._language.flow)
        return _Sequence(
            instruction,
            prompt.images,
            F.pad(embeddings, (0, 0, 0, filling)).unsqueeze(0),
            self._language.rotation(F.pad(prompt.positions, (0, filling))),
            F.pad(pooling, (0, filling)).to(self._device),
        )


def pooled_by(language: LanguageModel) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The weighted means (B, 1, width) of the last hidden states, as a function of what
    sequences are: embeddings (B, S, width), and the rotation and pooling that all of them share.

    No method, so that nothing refers in a circle and the GPU's memory is free with the features.
    """

    def pooled(embeddings: Tensor, rotation: Tensor, pooling: Tensor) -> Tensor:
        return pooling @ language(embeddings, rotation).float()

    return pooled


def _same(known: Picture | None, picture: Picture) -> bool:
    if isinstance(known, np.ndarray) and isinstance(picture, np.ndarray):
        return np.array_equal(known, picture)
    return isinstance(known, bytes) and isinstance(picture, bytes) and known == picture

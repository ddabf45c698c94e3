"""Computes vision-language features with a loaded Qwen2.5-VL model, of whatever size.

Owns the prompt, the token positions and the pooling. Does not own how the model came to be loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from vla_inference_ros.model.interface import ModelError, View
from vla_inference_ros.model.preprocess import (
    BLOCK_COLUMNS,
    BLOCK_ROWS,
    TOKENS_PER_VIEW,
    to_patches,
)

# What the chat template makes of one user message: its default system message, images, then text.
_HEAD = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_IMAGE = "<|vision_start|>" + "<|image_pad|>" * TOKENS_PER_VIEW + "<|vision_end|>"
_TAIL = "<|im_end|>\n"


@dataclass(frozen=True, slots=True, eq=False)
class _Prompt:
    """The tokens of one instruction with a number of views.

    ``input_ids`` is (1, S) and ``position_ids`` (3, 1, S): time, height and width.
    """

    instruction: str
    views: int
    input_ids: Tensor
    position_ids: Tensor


class QwenFeatures:
    """A :class:`FeatureModel`: the mean over all tokens of Qwen2.5-VL's last hidden state.

    ``model`` is transformers' ``Qwen2_5_VLModel`` (without the language-model head), in eval mode,
    and ``tokenizer`` the one it was made with. For one thread at a time.
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, model_id: str) -> None:
        self.model_id = model_id
        self._model: Any = model  # its methods are transformers', not nn.Module's
        self._tokenizer = tokenizer
        self._device = next(model.parameters()).device
        self._prompt: _Prompt | None = None

    @torch.inference_mode()
    def features(self, views: Sequence[View], instruction: str) -> NDArray[np.float32]:
        """(1, 1, V) float32. Raises :class:`FrameError`, or :class:`ModelError` for no views."""
        if not views:
            raise ModelError("no views: the model needs at least one picture")
        pixel_values, grid = to_patches(views)
        grid = grid.to(self._device)
        prompt = self._prompt
        if prompt is None or prompt.instruction != instruction or prompt.views != len(views):
            prompt = self._prompt = self._tokenise(instruction, grid)
        hidden: Tensor = self._model(
            input_ids=prompt.input_ids,
            position_ids=prompt.position_ids,
            pixel_values=pixel_values.to(self._device),
            image_grid_thw=grid,
            use_cache=False,
        ).last_hidden_state
        feature: NDArray[np.float32] = hidden.float().mean(dim=1, keepdim=True).cpu().numpy()
        return feature

    def _tokenise(self, instruction: str, grid: Tensor) -> _Prompt:
        ids = [
            *self._encode(_HEAD + _IMAGE * len(grid)),
            *self._encode(instruction, plain=True),
            *self._encode(_TAIL),
        ]
        positions = _positions(ids, self._model.config.image_token_id)
        return _Prompt(
            instruction,
            len(grid),
            input_ids=torch.tensor([ids], device=self._device),
            position_ids=positions.unsqueeze(1).to(self._device),
        )

    def _encode(self, text: str, *, plain: bool = False) -> list[int]:
        """Token ids; ``plain`` takes a marker such as <|image_pad|> for mere letters."""
        self._tokenizer.encode_special_tokens = plain
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _positions(ids: list[int], image_token: int) -> Tensor:
    """(3, S) rotary positions: time, row and column of each token.

    Text counts on in all three. An image stands still in time, its rows and columns count from
    there, and the text behind it goes on from the longer side. (The model's own ``get_rope_index``
    does this too, but with other arguments in every other release.)
    """
    rows, columns = torch.meshgrid(
        torch.arange(BLOCK_ROWS), torch.arange(BLOCK_COLUMNS), indexing="ij"
    )
    image = torch.stack([torch.zeros_like(rows), rows, columns]).flatten(1)
    parts, token, position = [], 0, 0
    while token < len(ids):
        if ids[token] == image_token:
            parts.append(image + position)
            token += TOKENS_PER_VIEW
            position += max(BLOCK_ROWS, BLOCK_COLUMNS)
        else:
            parts.append(torch.full((3, 1), position))
            token += 1
            position += 1
    return torch.cat(parts, dim=1)

"""The tokens and token positions that Qwen2.5-VL's chat template makes of views and an instruction.

Owns the template and the positions. Does not own the embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from vla_inference_ros.model.qwen.patches import BLOCK_COLUMNS, BLOCK_ROWS, TOKENS_PER_VIEW

# One user message without a generation prompt: the default system message, images, then text.
_HEAD = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
_IMAGE = "<|vision_start|>" + "<|image_pad|>" * TOKENS_PER_VIEW + "<|vision_end|>"
_TAIL = "<|im_end|>\n"
_IMAGE_TOKEN = "<|image_pad|>"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Tokens of an instruction with a number of views.

    ``ids`` is (S,) int64 and ``positions`` (3, S) int64: time, row and column of each token.
    ``images`` are the rows of each view's tokens.
    """

    ids: Tensor
    positions: Tensor
    images: tuple[slice, ...]


def tokenise(tokenizer: Tokenizer, instruction: str, views: int) -> Prompt:
    """The prompt for ``views`` pictures and an instruction, in which a marker is mere text."""
    ids = [
        *_encode(tokenizer, _HEAD + _IMAGE * views),
        *_encode(tokenizer, instruction, plain=True),
        *_encode(tokenizer, _TAIL),
    ]
    image_token = tokenizer.token_to_id(_IMAGE_TOKEN)
    starts = [row for row, token in enumerate(ids) if token == image_token != ids[row - 1]]
    images = tuple(slice(start, start + TOKENS_PER_VIEW) for start in starts)
    return Prompt(torch.tensor(ids), _positions(len(ids), images), images)


def _encode(tokenizer: Tokenizer, text: str, *, plain: bool = False) -> list[int]:
    """Token ids; ``plain`` takes a marker such as <|image_pad|> for mere letters."""
    tokenizer.encode_special_tokens = plain
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _positions(tokens: int, images: tuple[slice, ...]) -> Tensor:
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
    for place in images:
        text = place.start - token
        parts.append(torch.arange(position, position + text).expand(3, -1))
        parts.append(image + position + text)
        token, position = place.stop, position + text + max(BLOCK_ROWS, BLOCK_COLUMNS)
    parts.append(torch.arange(position, position + tokens - token).expand(3, -1))
    return torch.cat(parts, dim=1)

"""The steps of an action chunk's message, for those who look at them: whether they can be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk


class ChunkError(ValueError):
    """A chunk that cannot be used; ``kind`` says in a word or two what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def shaped_steps(chunk: ActionChunk) -> NDArray[np.float32]:
    """The actions (H, 7), as they are; ChunkError if there are not as many."""
    rows, columns, count = chunk.horizon, chunk.action_dim, len(chunk.actions)
    if columns != len(ACTION_NAMES) or rows == 0 or count != rows * columns:
        raise ChunkError(
            "wrong shape",
            f"action chunk {chunk.chunk_id} has {count} numbers for {rows} steps of {columns}, "
            f"not {len(ACTION_NAMES)} for each of one or more: which node publishes it?",
        )
    return np.array(chunk.actions, np.float32).reshape(rows, columns)


def check_finite(chunk: ActionChunk, steps: NDArray[np.floating]) -> None:
    """ChunkError if one of the chunk's steps is NaN or infinite."""
    if not np.isfinite(steps).all():
        raise ChunkError(
            "not finite",
            f"action chunk {chunk.chunk_id} has NaN or infinite values: which node publishes it?",
        )

"""The action expert's step: plain and ours, in float32 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterator

from report import Row
from step import expert_steps

from gpu.settings import Settings


def rows(settings: Settings) -> Iterator[Row]:
    """Side by side, with the floor that the measured bandwidth sets."""
    yield from expert_steps(
        settings.device,
        settings.heads(),
        ("float32", "bfloat16"),
        runs=settings.steps,
        least_ratio=1.25 if settings.on_gpu else None,
        plain_bfloat16=True,
        patience=settings.patience,
    )

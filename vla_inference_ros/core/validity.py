"""Judges what an action chunk was computed from: are there reservations, and which."""

from __future__ import annotations


def reservations(
    *, reuse_index: int, reuse_limit: int, samples: int, missing: int, window: int
) -> list[str]:
    """Reasons, in plain words, why a chunk is usable with care only; empty when it is not."""
    reasons = []
    if reuse_index > reuse_limit:
        reasons.append(f"VLM late: features used {reuse_index} times, planned {reuse_limit}")
    if samples < window:
        reasons.append(f"sensor window not full: {samples}/{window} samples")
    elif missing:
        reasons.append(f"sensor window has gaps: {missing} samples missing")
    return reasons

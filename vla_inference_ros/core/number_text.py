"""Numbers on command lines, read alike by every command; each judges which of them are fit."""

from __future__ import annotations

import math


def number_or_nan(text: str) -> float:
    """The number that a text is, or NaN, which no range holds."""
    try:
        return float(text)
    except ValueError:
        return math.nan

"""How what was recorded reads: any text made fit for the page, and numbers as people write them."""

from __future__ import annotations

import math
import re

_LONGEST = 400  # [characters]
# Also what turns the direction of writing.
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def plain(text: str, longest: int = _LONGEST) -> str:
    """A text that can stand anywhere: on one line, printable, of at most so many characters."""
    text = _UNPRINTABLE.sub("\ufffd", re.sub(r"\s+", " ", text))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def number(amount: float, digits: int = 2) -> str:
    """A dash for one that is not known."""
    return f"{amount:,.{digits}f}" if math.isfinite(amount) else "–"


def milliseconds(seconds: float) -> str:
    """A time [s] as ms, with three digits or more."""
    if seconds == 0:
        return "0"
    digits = 3 if abs(seconds) < 1e-3 else 2 if abs(seconds) < 0.01 else int(abs(seconds) < 1.0)
    return number(1000.0 * seconds, digits)


def duration(seconds: float) -> str:
    """A time [s] in its units."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min {rest:02} s" if hours else f"{minutes} min {rest:02} s"


def counted(count: int, what: str) -> str:
    """Such as 1 gap, 2 gaps."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"

"""What becomes of an error in a part: a short traceback and a row; what comes after goes on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator

from report import Row

FAILED, LEFT_OUT = "FAILED", "LEFT OUT"  # values of rows that stand for what is not there
_FRAMES = 4  # of a traceback that are printed
_LONGEST = 200  # characters of a reason
_OURS = ("gpu", "vla_inference_ros")  # what no package brings


def guarded(name: str, rows: Iterator[Row]) -> Iterator[Row]:
    """``rows``, and a row that says so where they break off: what comes after them goes on."""
    try:
        yield from rows
    except Exception as error:
        if package := missing(error):
            yield Row(f"{name}: {package}", LEFT_OUT)
        else:
            tell(error)
            yield Row(f"{name}: {reason(error)}", FAILED, "", False)


def missing(error: Exception) -> str:
    """Which package is not there, if that is the error, else ''."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    if error.name.partition(".")[0] in _OURS:
        return ""
    return f"there is no module {error.name!r}: install it"


def reason(error: BaseException) -> str:
    """What has failed, in one line."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}"[:_LONGEST]


def tell(error: BaseException) -> None:
    """Print the innermost frames and the error."""
    text = "".join(traceback.format_exception(error, limit=-_FRAMES))
    print(text, file=sys.stderr, flush=True)

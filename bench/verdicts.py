"""What the verdict on /vla/status said of a fault: when it named a stream, and when it was over."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from vla_inference_ros.core.health import State
from vla_inference_ros.msg import InferenceStatus

Statuses = Sequence[tuple[float, InferenceStatus]]  # when published [Unix s], in order

_STREAM = re.compile(r"\b(View\d|camera|robot|sensor|vla/features|vla/actions)\b")


def streams_named(status: InferenceStatus) -> set[str]:
    """The inputs that the reason and the troubles name."""
    return set(_STREAM.findall(_text(status)))


def shown_after(statuses: Statuses, since: float, names: Collection[str]) -> float | None:
    """From ``since`` [Unix s] to the first verdict that has one of the names [s]; None if there
    is none.
    """
    for at, status in statuses:
        if at >= since and _names_one(status, names):
            return at - since
    return None


def cleared_after(statuses: Statuses, since: float, names: Collection[str]) -> float | None:
    """From ``since`` [Unix s] until the verdict is OK and has none of the names, and stays so
    [s]; None if it is not so yet, 0 if it was before.
    """
    cleared: float | None = None
    for at, status in statuses:
        if status.state != State.OK or _names_one(status, names):
            cleared = None
        elif cleared is None:
            cleared = at
    return None if cleared is None else max(0.0, cleared - since)


def _text(status: InferenceStatus) -> str:
    return "; ".join([status.reason, *status.troubles])


def _names_one(status: InferenceStatus, names: Collection[str]) -> bool:
    words = "|".join(map(re.escape, names))
    return bool(names) and re.search(rf"\b({words})\b", _text(status)) is not None

"""What was sent and did not arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from load import Item
from report import Row

_SENT = {"frames": "cameras sent", "robot packets": "robot sent", "samples": "sensor sent"}


def lost_items(
    sent: Mapping[str, list[Item]],
    received: Iterable[Item],
    began: float,
    close: Mapping[str, float],
) -> list[Row]:
    """How much of what was sent from ``began`` on [Unix s] is not in ``received``.

    The senders' reports and ``received`` name each thing by its stream and its time. Two times of
    frames, robot packets or samples that are ``close`` [s] are the same thing's.
    """
    stamps: dict[str, list[float]] = {}
    for stream, stamp in received:
        stamps.setdefault(stream, []).append(stamp)
    known = {stream: np.sort([-np.inf, *times, np.inf]) for stream, times in stamps.items()}
    rows = []
    for what, report in _SENT.items():
        items = [item for item in sent[report] if item[1] >= began]
        lost = sum(
            _missing([time for other, time in items if other == stream], known, stream, close[what])
            for stream in {stream for stream, _ in items}
        )
        rows.append(Row(f"{what} lost", f"{lost} of {len(items)}", "0", lost == 0 and bool(items)))
    return rows


def _missing(sent: list[float], known: Mapping[str, Any], stream: str, close: float) -> int:
    if stream not in known:
        return len(sent)
    times = np.array(sent)
    at = np.searchsorted(known[stream], times)
    gap = np.minimum(known[stream][at] - times, times - known[stream][at - 1])
    return int((gap > close).sum())

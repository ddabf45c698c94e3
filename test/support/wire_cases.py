"""Values that the wire formats must take or refuse, and how a refusal is checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vla_inference_ros.core.wire import WireError

NOW = 1_700_000_000.25
LAST_TIME = 2.0**31 - 1  # what a ROS time can hold
NOT_FINITE = [math.nan, math.inf, -math.inf]
BAD_TIMES = [*NOT_FINITE, 0.0, -NOW, NOW * 1e3, 946_684_799.9, LAST_TIME + 1]
GOOD_TIMES = [946_684_800.0, NOW, LAST_TIME]


@contextmanager
def refused(kind: str, reason: str | None = None) -> Iterator[None]:
    """Whether a WireError of this kind is raised, whose message has ``reason``."""
    with pytest.raises(WireError, match=reason) as caught:
        yield
    assert caught.value.kind == kind

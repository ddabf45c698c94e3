from __future__ import annotations

import math

import pytest

from vla_inference_ros.core.number_text import number_or_nan


def test_a_number_is_read() -> None:
    assert [number_or_nan(text) for text in ("1", "-2.5", "1e3", "inf")] == [
        1.0,
        -2.5,
        1000.0,
        math.inf,
    ]


@pytest.mark.parametrize("text", ["", "x", "1,5", "nan"])
def test_what_is_none_is_nan(text: str) -> None:
    assert math.isnan(number_or_nan(text))

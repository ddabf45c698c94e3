"""Action chunks of damaged or foreign recordings: a line that says what is wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from fake_recording import FakeRecording

from vla_inference_ros.export.chunks import chunks
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.recording.odd import Odd
from vla_inference_ros.recording.recording import RecordingError

ROWS = [[0.0] * 7] * 8


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({"timestamp": "noon"}, "timestamp is 'noon', which is no number"),
        ({"timestamp": None}, "timestamp is None, which is no number"),
        ({"timestamp": float("inf")}, "timestamp is inf, which is no number"),
        ({"timestamp": 10**400}, ", which is no number"),
        ({"step_dt": "fast"}, "step_dt is 'fast', which is no number"),
        ({"actions": None}, "actions is no list of steps"),
        ({"actions": []}, "actions is no list of steps"),
        ({"actions": [[1.0], [1.0, 2.0]]}, "actions is no list of steps"),
        ({"actions": [[float("nan")] * 7] * 8}, "actions is no list of steps"),
        ({"actions": [["a"] * 7] * 8}, "actions is no list of steps"),
        ({"actions": [[1e300] * 7] * 8}, "actions is no list of steps"),  # infinite in float32
        ({"actions": [[10**400] * 7] * 8}, "actions is no list of steps"),
        ({"delta": [[1.0] * 7]}, "delta is of shape (1, 7), but actions of (8, 7)"),
        ({"action_names": ["x"]}, "has 7 actions a step, which its action_names do not name: x"),
        ({"action_names": ["x"] * 7}, "do not name: x, x, x"),
    ],
)
def test_what_is_wrong_is_said(damage: dict[str, Any], complaint: str) -> None:
    fake = FakeRecording(results_extra=damage)
    with pytest.raises(RecordingError, match=re.escape("fake: action chunk 1")) as caught:
        next(chunks(fake))
    assert complaint in str(caught.value)


@pytest.mark.parametrize("odd", [0, 1, 5])
def test_chunks_of_another_shape_are_left_out(odd: int) -> None:
    fake = FakeRecording()
    results = list(fake.results())
    results[odd] |= {"actions": ROWS[:4], "delta": ROWS[:4]}
    fake.results = lambda: iter(results)  # type: ignore[method-assign]
    assert len(list(chunks(fake))) == len(results) - 1
    (line,) = fake.odd.lines()
    assert "1 of exported action chunks, another form: " in line
    assert "has 4 steps of 7 actions" in line
    assert "most have 8 steps of 7" in line
    fake.odd = Odd(strict=True)
    with pytest.raises(RecordingError, match="has 4 steps of 7 actions"):
        list(chunks(fake))


@pytest.mark.parametrize("names", [["x"], ["x"] * 7, 3, "seven"])
def test_odd_action_names_cost_their_chunk_alone(names: object) -> None:
    fake = FakeRecording()
    results = list(fake.results())
    results[0] = results[0] | {"action_names": names}
    fake.results = lambda: iter(results)  # type: ignore[method-assign]
    assert len(list(chunks(fake))) == len(results) - 1
    assert "1 of exported action chunks, action names that do not fit: " in fake.odd.lines()[0]


def test_older_folders_have_neither_names_nor_a_period() -> None:
    fake = FakeRecording()
    old = {"timestamp": 5, "actions": ROWS, "delta": ROWS}
    fake.results = lambda: iter([old])  # type: ignore[method-assign]
    (chunk,) = chunks(fake)
    assert chunk.names == ACTION_NAMES
    assert chunk.step_dt == 0.0
    assert chunk.time == 5.0
    assert chunk.actions.dtype == np.float32

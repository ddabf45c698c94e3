from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_inference_ros.msg import ActionChunk
from vla_inference_ros.recording.messages import result_of
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.replay.lineage import UpTo, recorded_chunk

MASK = [0, 1, 1, 0, 1]


@pytest.fixture
def result() -> dict[str, Any]:
    chunk = ActionChunk(
        chunk_id=5,
        horizon=2,
        action_dim=3,
        action_names=["a", "b", "c"],
        actions=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        delta=[0.0] * 6,
        sensor_mask=MASK,
        sensor_samples=sum(MASK),
        sensor_missing=len(MASK) - sum(MASK),
        sensor_fill="hold_last",
    )
    return result_of(chunk)


def test_numbers_are_exact(result: dict[str, Any]) -> None:
    chunk = recorded_chunk(result)
    expected = np.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], np.float32)
    np.testing.assert_array_equal(chunk.actions, expected)
    assert chunk.mask.tolist() == [bool(row) for row in MASK]
    assert (chunk.chunk_id, chunk.fill) == (5, "hold_last")


@pytest.mark.filterwarnings("error")
def test_a_number_that_is_too_large_is_infinite(result: dict[str, Any]) -> None:
    chunk = recorded_chunk({**result, "actions": [[1e300, -1e300, 1.0]]})
    np.testing.assert_array_equal(chunk.actions, [[np.inf, -np.inf, 1.0]])


@pytest.mark.parametrize("key", ["sensor_mask", "view_timestamps", "actions"])
def test_a_result_that_says_too_little_is_refused(result: dict[str, Any], key: str) -> None:
    del result[key]
    with pytest.raises(RecordingError, match=f"does not say its '{key}'.*older version"):
        recorded_chunk(result)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("actions", [[1.0], [1.0, 2.0]], "action chunk 5 cannot be read"),
        ("actions", "none", "action chunk 5 cannot be read"),
        ("actions", [[10**400, 0.0, 0.0]], "action chunk 5 cannot be read: int too large"),
        ("actions", [[1.0, 2.0]], r"shape \(1, 2\), but 3 action names"),
        ("timestamp", None, "action chunk 5 cannot be read"),
        ("view_timestamps", [1.0], "action chunk 5 cannot be read"),
        ("view_timestamps", {"View1": float("nan")}, "action chunk 5 has a time that is not fin"),
        ("sensor_last_timestamp", float("inf"), "action chunk 5 has a time that is not finite"),
        ("sensor_mask", [1, 0], "whose last row is no sample"),
        ("sensor_mask", [], "whose last row is no sample"),
        ("sensor_fill", "", "sensor_fill '', not one of zero, hold_last, interpolate"),
    ],
)
def test_a_result_that_makes_no_sense_is_refused(
    result: dict[str, Any], key: str, value: object, reason: str
) -> None:
    with pytest.raises(RecordingError, match=reason):
        recorded_chunk({**result, key: value})


def test_things_are_handed_out_once_and_in_time() -> None:
    up_to = UpTo(iter([1.0, 2.0, 2.5, 4.0]), lambda thing: thing)
    assert list(up_to(0.5)) == []
    assert list(up_to(2.0)) == [1.0, 2.0]
    assert list(up_to(2.0)) == []
    assert list(up_to(9.0)) == [2.5, 4.0]
    assert list(up_to(9.0)) == []

"""The verdict on the action chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted import (
    DEGRADED,
    FEATURES_AGE,
    FIRST_CHUNK,
    HELD,
    INSTRUCTION,
    LENGTH,
    MODEL,
    START,
    STEP,
    WORST_FEATURES_AGE,
    Planted,
)

from vla_inference_ros.recording.odd import OddError
from vla_inference_ros.recording.recording import RecordingError
from vla_inference_ros.report.chunks import Chunks, ChunksReader
from vla_inference_ros.report.holds import Hold

COUNT = int(LENGTH * 10) - FIRST_CHUNK - len(HELD)
END = START + LENGTH
RESULT = {"timestamp": START, "actions": [[0.0] * 7] * 8}


def read(*results: dict[str, Any]) -> Chunks:
    reader = ChunksReader()
    for result in results:
        reader.add(result)
    chunks = reader.chunks()
    assert chunks is not None
    return chunks


@pytest.fixture
def chunks(tmp_path: Path) -> Chunks:
    return read(*Planted(tmp_path).results())


def test_chunks_are_counted_by_verdict(chunks: Chunks) -> None:
    assert len(chunks.rows) == COUNT
    assert (chunks.degraded, chunks.ok) == (len(DEGRADED), COUNT - len(DEGRADED))
    assert chunks.said == {
        "instruction": {INSTRUCTION: COUNT},
        "features_model_id": {MODEL: COUNT},
        "model_id": {MODEL: COUNT},
    }
    assert chunks.period == STEP


def test_reasons_are_counted_without_their_numbers(chunks: Chunks) -> None:
    (reason,) = chunks.reasons.items()
    assert reason[0] == "features are … s old, over … s"
    assert reason[1].example == "features are 1.20 s old, over 1 s"
    stamps = chunks.rows["stamp"][np.array(reason[1].chunks)]
    np.testing.assert_allclose(stamps - START, np.array(DEGRADED) * STEP, atol=1e-6)


def test_numbers_in_names_are_kept() -> None:
    reasons = ["image of View1 is 0.25 s old, over 0.2 s", "image of View2 is 1 s old, over 0.2 s"]
    found = read({**RESULT, "reasons": reasons})
    assert list(found.reasons) == [
        "image of View1 is … s old, over … s",
        "image of View2 is … s old, over … s",
    ]


def test_a_flood_of_reasons_is_bounded() -> None:
    letters = [f"reason {'x' * number}" for number in range(500)]
    found = read(*({**RESULT, "reasons": [letter]} for letter in letters))
    assert len(found.reasons) <= 201
    assert sum(len(reason.chunks) for reason in found.reasons.values()) == 500


def test_a_gap_is_where_ticks_have_no_chunk(chunks: Chunks) -> None:
    (gap,) = chunks.gaps([], END)
    assert gap.start - START == pytest.approx((HELD[0] - 1) * STEP, abs=1e-6)
    assert gap.length == pytest.approx((len(HELD) + 1) * STEP)
    assert gap.missing == len(HELD)
    assert gap.cause == "none was made: held back, or too late"


@pytest.mark.parametrize(
    ("ids", "cause"),
    [((7, 9), "made, but not recorded"), ((7, 1), "the action expert was restarted")],
)
def test_the_chunks_numbers_tell_why(ids: tuple[int, int], cause: str) -> None:
    results = [
        {**RESULT, "timestamp": START + 0.5 * index, "step_dt": STEP, "chunk_id": chunk_id}
        for index, chunk_id in enumerate(ids)
    ]
    assert read(*results).gaps([], START)[0].cause == cause


def test_what_the_monitor_said_tells_why(chunks: Chunks) -> None:
    said = [Hold(START + 1.0, "earlier"), Hold(START + 10.5, "no samples"), Hold(START + 13, "no")]
    assert chunks.gaps(said, END)[0].cause == "held back: no samples"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ([], "none came until the end"),
        ([Hold(START + LENGTH + 1, "features are old")], "held back: features are old"),
    ],
)
def test_chunks_that_stop_before_the_end_are_a_gap(
    chunks: Chunks, said: list[Hold], cause: str
) -> None:
    assert len(chunks.gaps(said, END + 1.8)) == 1  # as when the nodes end
    *_, gap = chunks.gaps(said, END + 60.0)
    assert gap.start == pytest.approx(END - STEP, abs=1e-6)
    assert gap.length == pytest.approx(60.0 + STEP)
    assert gap.missing == pytest.approx(601, abs=1)
    assert gap.cause == cause


def test_a_single_chunk_and_then_none() -> None:
    (gap,) = read(RESULT).gaps([], START + 10.0)
    assert (gap.start, gap.length, gap.missing) == (START, 10.0, 0)  # its period is not known


def test_ages(chunks: Chunks) -> None:
    ages = chunks.rows["features_age"]
    assert (ages.min(), ages.max()) == (FEATURES_AGE, WORST_FEATURES_AGE)
    assert set(chunks.view_ages) == {f"View{number}" for number in range(1, 6)}
    assert chunks.view_ages["View2"].max() == pytest.approx(WORST_FEATURES_AGE)


@pytest.mark.parametrize("age", [-1, -1.0, None, "old", True])
def test_an_age_that_is_none(age: object) -> None:
    assert np.isnan(read({**RESULT, "sensor_age": age}).rows["sensor_age"]).all()


def test_a_chunk_without_a_robot_state_has_no_robot_age() -> None:
    state = {"joints": [0.0] * 6, "pose": [0.0] * 6, "timestamp": 0.0}
    found = read({**RESULT, "robot_state": state, "robot_age": START})
    assert np.isnan(found.rows["robot_age"]).all()


def test_a_view_that_comes_later() -> None:
    second = {**RESULT, "view_timestamps": {"View1": START - 0.25}}
    found = read(RESULT, second, RESULT).view_ages["View1"]
    assert np.isnan(found[[0, 2]]).all()
    assert found[1] == 0.25


def test_chunks_of_an_older_run_have_no_verdict() -> None:
    """They have only what every run folder has."""
    found = read(*({**RESULT, "timestamp": START + 0.1 * index} for index in range(5)))
    assert (found.ok, found.degraded) == (0, 0)
    assert found.period == pytest.approx(0.1)
    assert found.names == tuple(f"action {number}" for number in range(1, 8))


def test_chunks_of_another_shape_are_left_out() -> None:
    reader = ChunksReader()
    reader.add(RESULT)
    with pytest.raises(
        OddError, match=r"of shape \(8, 6\); wanted is .* shape \(8, 7\) of the others"
    ):
        reader.add({**RESULT, "actions": [[0.0] * 6] * 8})
    reader.add(RESULT)
    found = reader.chunks()
    assert found is not None
    assert (len(found.rows), found.odd) == (2, 1)


def test_jitter_leaves_gaps_out() -> None:
    times = [0.0, 0.1, 0.21, 5.0, 5.1]
    found = read(*({**RESULT, "timestamp": START + t, "step_dt": STEP} for t in times))
    np.testing.assert_allclose(found.jitter(), [0, 0.01, 0], atol=1e-6)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"timestamp": START},
        {"timestamp": "noon", "actions": [[0.0]]},
        {"timestamp": START, "actions": [[1.0], [1.0, 2.0]]},
        {"timestamp": START, "actions": []},
        {"timestamp": START, "actions": 3.0},
        {"timestamp": START, "actions": [[10**400]]},
        {"timestamp": 10**400, "actions": [[0.0]]},
    ],
)
def test_a_result_that_is_no_chunk(result: dict[str, Any]) -> None:
    with pytest.raises(RecordingError, match="an action chunk has"):
        ChunksReader().add(result)


def test_no_chunks() -> None:
    assert ChunksReader().chunks() is None

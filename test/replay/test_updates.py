from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_inference_ros.recording.recording import Features
from vla_inference_ros.replay.lineage import NotRecordedError, RecordedChunk
from vla_inference_ros.replay.updates import RecordedUpdates

START = 1_700_000_000.25
VIEWS = ("View1", "View2")


def update(number: int, update_id: int | None = None, age: float = 0.3) -> Features:
    """One every 0.4 s; its data says its number."""
    ready = START + 0.4 * number
    return Features(
        update_id=number if update_id is None else update_id,
        data=np.full((1, 1, 4), number, np.float32),
        view_stamps=dict.fromkeys(VIEWS, ready - age),
        instruction="",
        model_id="",
        started=ready - 0.2,
        finished=ready,
    )


def chunk_of(features: Features, later: float = 0.05) -> RecordedChunk:
    return RecordedChunk(
        chunk_id=1,
        timestamp=features.finished + later,
        actions=np.zeros((8, 7), np.float32),
        action_names=(),
        model_id="",
        features_model_id="",
        instruction="",
        update_id=features.update_id,
        reuse=(1, 4),
        view_stamps=dict(features.view_stamps),
        sensor_first=0.0,
        sensor_last=0.0,
        mask=np.ones(65, np.bool_),
        fill="zero",
    )


def test_each_chunk_has_its_own() -> None:
    updates = [update(number) for number in range(1, 100)]
    recorded = RecordedUpdates(iter(updates))
    for one in updates:
        for later in (0.05, 0.35):
            assert recorded.of(chunk_of(one, later)) is one


def test_a_vlm_that_was_restarted_counts_again() -> None:
    updates = [update(1), update(2), update(3, update_id=1), update(4, update_id=2)]
    recorded = RecordedUpdates(iter(updates))
    for one in updates:
        assert recorded.of(chunk_of(one)) is one


def test_two_updates_may_be_of_the_same_pictures() -> None:
    updates = [update(1), update(2, age=0.7)]  # of a camera that has stopped
    assert updates[0].view_stamps == pytest.approx(updates[1].view_stamps)
    recorded = RecordedUpdates(iter(updates))
    for one in updates:
        for later in (0.1, 0.3):
            assert recorded.of(chunk_of(one, later)) is one


def test_one_that_is_missing_does_not_lose_the_others() -> None:
    updates = [update(number) for number in range(1, 30)]
    recorded = RecordedUpdates(iter(updates[:9] + updates[10:]))
    for one in updates:
        if one is updates[9]:
            with pytest.raises(NotRecordedError, match="its VLM update is not in the recording"):
                recorded.of(chunk_of(one))
        else:
            assert recorded.of(chunk_of(one)) is one


def test_it_reads_no_further_than_needed() -> None:
    read = 0

    def walk() -> Iterator[Features]:
        nonlocal read
        for number in range(1, 1000):
            read += 1
            yield update(number)

    recorded = RecordedUpdates(walk())
    recorded.of(chunk_of(update(5)))
    assert read < 12

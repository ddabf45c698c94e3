from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_inference_ros.model.interface import ACTION_NAMES, ModelError
from vla_inference_ros.recording.recording import Features
from vla_inference_ros.replay.difference import Differences, Models, report
from vla_inference_ros.replay.lineage import RecordedChunk
from vla_inference_ros.replay.updates import FeatureDifferences

ACTIONS = np.arange(56, dtype=np.float32).reshape(8, 7)
CHUNK = RecordedChunk(
    chunk_id=1,
    timestamp=1_700_000_000.25,
    actions=ACTIONS,
    action_names=ACTION_NAMES,
    model_id="old",
    features_model_id="old VLM",
    instruction="Hold still",
    update_id=7,
    reuse=(2, 4),
    view_stamps={"View1": 1_700_000_000.0},
    sensor_first=1_700_000_000.15,
    sensor_last=1_700_000_000.249,
    mask=np.ones(65, np.bool_),
    fill="zero",
)


def off_by(step: int, action: int, error: float) -> NDArray[np.float32]:
    actions = ACTIONS.copy()
    actions[step, action] += np.float32(error)
    return actions


def told(differences: Differences, vlm: str | None = None) -> str:
    lines = report(differences, FeatureDifferences(differences.tolerance), Models("old", vlm))
    return "\n".join(lines)


def test_it_is_equal_up_to_the_tolerance() -> None:
    differences = Differences(0.5)
    assert differences.compare(CHUNK, off_by(3, 2, 0.5)) == 0.5
    assert differences.passes(strict=True)
    assert differences.compare(CHUNK, off_by(3, 2, 0.625)) == 0.625
    assert not differences.passes(strict=False)
    assert (differences.compared, differences.equal, differences.beyond) == (2, 1, 1)


def test_the_first_number_over_the_tolerance_is_named_not_the_worst() -> None:
    differences = Differences(0.5)
    actions = off_by(6, 0, -3.0)
    actions[2, 4] += 1.0
    actions[2, 3] += 0.25
    differences.compare(CHUNK, actions)
    (found,) = differences.divergences
    assert (found.step, found.name, found.error) == (2, "joint_5", 3.0)
    assert (found.recorded, found.recomputed) == (18.0, 19.0)
    said = told(differences)
    assert "first divergence: chunk 1, step 2, joint_5" in said
    assert "recorded 18, recomputed 19, difference +1.00e+00" in said
    assert "VLM update 7 (2/4)" in said
    assert "View1 1700000000.000000" in said
    assert "1700000000.150000 to 1700000000.249000, 65 of 65 rows, fill zero" in said


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_equal(number: float) -> None:
    differences = Differences(1e6)
    assert differences.compare(CHUNK, off_by(0, 0, number)) == math.inf
    assert not differences.passes(strict=False)
    assert "largest error inf" in told(differences)


def test_nothing_compared_does_not_pass() -> None:
    differences = Differences(1e-6)
    assert not differences.passes(strict=False)
    differences.skip(CHUNK, "lost")
    assert not differences.passes(strict=False)
    assert "0 of 1 chunks compared" in told(differences)


def test_what_was_skipped_is_counted_by_reason() -> None:
    differences = Differences(1e-6)
    differences.compare(CHUNK, ACTIONS)
    for reason in ("lost", "early", "lost"):
        differences.skip(CHUNK, reason)
    assert differences.passes(strict=False)
    assert not differences.passes(strict=True)
    assert told(differences).endswith("3 NOT compared:\n  1: early\n  2: lost")


def test_the_table_stays_short() -> None:
    differences = Differences(1e-6)
    for number in range(1, 1001):
        differences.compare(replace(CHUNK, chunk_id=number), off_by(0, 0, number))
    said = told(differences)
    assert "     ... and 980 more" in said
    assert len(said.splitlines()) < 40
    assert "largest error 1.00e+03 (chunk 1000)" in said


def test_chunks_of_another_shape_cannot_be_compared() -> None:
    with pytest.raises(ModelError, match="gives chunks of 16 x 7 numbers, chunk 1 has 8 x 7"):
        Differences(1e-6).compare(CHUNK, np.zeros((16, 7), np.float32))


def test_another_model_is_pointed_out() -> None:
    differences = Differences(1e-6)
    differences.compare(CHUNK, ACTIONS)
    assert "action expert  old, the recorded one" in told(differences)
    assert "NOT" not in told(differences)
    differences.compare(replace(CHUNK, model_id="older"), ACTIONS)
    said = told(differences, "vlm")
    assert "action expert  recorded with old, 1 x\naction expert  recorded with older, 1 x" in said
    assert "compared with old   << NOT THE RECORDED ONE" in said
    assert "VLM            recorded with old VLM\nVLM            compared with vlm   << NOT" in said
    differences.skip(replace(CHUNK, features_model_id=""), "lost")
    said = told(differences, "vlm")
    assert "VLM            recorded with old VLM, 2 x\n" in said
    assert "VLM            recorded with one without a name, 1 x\n" in said


def test_the_vlm_of_chunks_that_were_skipped_is_known_too() -> None:
    differences = Differences(1e-6)
    differences.skip(CHUNK, "pictures lost")
    assert "VLM            old VLM, the recorded one" in told(differences, "old VLM")


def test_features_are_compared_too() -> None:
    data = np.ones((1, 1, 4), np.float32)
    update = Features(3, data, {}, "", "", 0.0, 1.0)
    differences = FeatureDifferences(0.5)
    differences.note(update, data + 0.25)
    differences.note(replace(update, update_id=4), data + 2.0)
    assert (differences.compared, differences.equal) == (2, 1)
    assert (differences.largest, differences.worst) == (2.0, 4)
    for other in (np.ones((1, 1, 5), np.float32), data * np.float32(np.nan)):
        differences.note(replace(update, update_id=5), other)
        assert (differences.largest, differences.worst) == (math.inf, 5)
    assert differences.equal == 1

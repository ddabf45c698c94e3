"""What the monitor tells of the seams between the chunks that it hears."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from status_cases import NOW, STEADY, seen_of, status_of

from vla_inference_ros.convert import header
from vla_inference_ros.model.interface import ACTION_NAMES
from vla_inference_ros.msg import ActionChunk, InferenceStatus
from vla_inference_ros.nodes.chunk_seams import ChunkSeams
from vla_inference_ros.nodes.status import Seen

HORIZON, STEP = 8, 0.125  # a step whose cube is exact
DIMENSIONS = np.arange(1.0, len(ACTION_NAMES) + 1)


def chunk(number: int, offset: float = 0.0, **fields: Any) -> ActionChunk:
    """A chunk at tick ``number``: everything at rest, dimension n at ``n * offset``."""
    given = {"header": header(NOW + number * STEP), "chunk_id": number, "step_dt": STEP}
    given |= {"horizon": HORIZON, "action_dim": len(DIMENSIONS), **fields}
    made = ActionChunk(**given)
    if not made.actions:
        made.actions = array("f", np.tile(DIMENSIONS * offset, made.horizon).astype(np.float32))
    return made


def seen(*chunks: ActionChunk) -> Seen:
    seen = seen_of()
    for index, each in enumerate(chunks):
        seen.seams.add(each, STEADY + index * STEP)
    return seen


def shown(status: InferenceStatus, what: str) -> list[float]:
    return [getattr(status, f"seam_{what}_{name}") for name in ACTION_NAMES]


def jumps(*chunks: ActionChunk) -> list[float]:
    return shown(status_of(seen(*chunks)), "jump")


def jumped(by: float) -> NDArray[np.float64]:
    return DIMENSIONS * by


NONE = [0.0] * len(ACTION_NAMES)


def test_each_dimension_has_its_own_jump_and_jerk() -> None:
    status = status_of(seen(chunk(1), chunk(2, offset=0.5)))
    assert shown(status, "jump") == jumped(0.5).tolist()
    assert shown(status, "jerk") == (2 * jumped(0.5) / STEP**3).tolist()


def test_before_there_is_a_seam_all_is_zero() -> None:
    for status in (status_of(seen()), status_of(seen(chunk(1, offset=0.5)))):
        assert shown(status, "jump") == shown(status, "jerk") == NONE


def test_it_is_the_99th_percentile_of_the_last_minute() -> None:
    offsets = np.cumsum(np.arange(102))  # jumps of 1 to 101
    heard = seen(*(chunk(number, offset=each) for number, each in enumerate(offsets, 1)))
    status = InferenceStatus()
    heard.seams.fill(status, STEADY + 20.0)
    assert shown(status, "jump") == pytest.approx(jumped(100.0))
    assert shown(status, "jerk") == pytest.approx(2 * jumped(100.0) / STEP**3)
    heard.seams.fill(status, STEADY + 101 * STEP + 60.5)
    assert shown(status, "jump") == shown(status, "jerk") == NONE


def test_a_missed_tick_leaves_a_seam_of_chunks_further_apart() -> None:
    """The actions climb by 1 a tick; the second chunk is another 0.5 above."""
    slope = np.arange(HORIZON)[:, None] + np.zeros(len(DIMENSIONS))
    made = [array("f", (slope + rise).ravel().astype(np.float32)) for rise in (0.0, 3.5)]
    late = chunk(2, header=header(NOW + 4 * STEP), actions=made[1])
    assert jumps(chunk(1, actions=made[0]), late) == [0.5] * len(DIMENSIONS)


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk_id": 3},  # one was not heard
        {"chunk_id": 1},  # the node was started anew
        {"step_dt": 2 * STEP},
        {"horizon": HORIZON - 1},
        {"header": header(NOW + (1 + HORIZON) * STEP)},  # after all that the first is for
        {"header": header(NOW + STEP)},  # for the same instants
        {"header": header(NOW)},  # before the first: time was set back
        {"header": header(NOW + 1.5 * STEP)},  # between its steps
    ],
)
def test_chunks_that_cannot_be_compared_have_no_seam(fields: dict[str, Any]) -> None:
    assert jumps(chunk(1), chunk(2, offset=0.5, **fields)) == NONE


def test_after_a_gap_and_a_restart_it_goes_on() -> None:
    heard = [chunk(1), chunk(2, offset=0.5), chunk(4, offset=50.0), chunk(5, offset=51.0)]
    assert jumps(*heard) == pytest.approx(jumped(0.5 + 0.99 * 0.5))  # two seams, of 0.5 and 1.0
    anew = [
        chunk(1, -50.0, header=header(NOW + 6 * STEP)),
        chunk(2, -48.5, header=header(NOW + 7 * STEP)),
    ]
    assert jumps(*heard, *anew) == pytest.approx(jumped(1.0 + 0.98 * 0.5))  # and one of 1.5


def test_chunks_too_short_for_a_jerk_have_a_jump() -> None:
    status = status_of(seen(chunk(1, horizon=2), chunk(2, horizon=2, offset=0.5)))
    assert shown(status, "jump") == jumped(0.5).tolist()
    assert shown(status, "jerk") == NONE


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"actions": array("f", [0.5] * 55)}, "chunk 2 has 55 numbers for 8 steps of 7, not 7"),
        ({"horizon": 4_000_000_000, "action_dim": 7}, "has 56 numbers for 4000000000 steps of 7"),
        ({"horizon": 0}, "chunk 2 has 56 numbers for 0 steps of 7"),
        ({"action_dim": 0}, "chunk 2 has 56 numbers for 8 steps of 0"),
        ({"horizon": 7, "action_dim": 8}, "has 56 numbers for 7 steps of 8, not 7"),
        ({"actions": array("f", [np.nan] * 56)}, "chunk 2 has NaN or infinite values"),
        ({"actions": array("f", [np.inf] * 56)}, "chunk 2 has NaN or infinite values"),
    ],
)
def test_a_chunk_that_makes_no_sense_is_refused_and_leaves_no_seam(
    fields: dict[str, Any], complaint: str
) -> None:
    seams = ChunkSeams()
    seams.add(chunk(1), STEADY)
    bad = chunk(2, offset=0.5)
    for name, value in fields.items():
        setattr(bad, name, value)
    with pytest.raises(ValueError, match=f"{complaint}.*which node publishes it\\?"):
        seams.add(bad, STEADY + STEP)
    seams.add(chunk(3, offset=1.0), STEADY + 2 * STEP)
    seams.add(chunk(4, offset=1.25), STEADY + 3 * STEP)
    status = status_of(seen_of(seams=seams))
    assert shown(status, "jump") == jumped(0.25).tolist()
